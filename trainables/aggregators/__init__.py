"""Learned gradients: what makes one update of the gradients of a minibatch's examples, in place of their mean."""
