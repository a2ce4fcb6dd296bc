"""Predictors: what the weights of a network tell of it."""
