"""Readouts: simple maps from features of networks to what is known of them, and what predictions are worth."""
