"""Hypernetworks: a small vector becomes the weights of a network."""
