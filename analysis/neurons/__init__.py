"""Neurons over training: what hidden units do on whole data sets, from snapshot to snapshot."""
