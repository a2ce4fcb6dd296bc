"""Transformers over the tokens of networks: what encoders and autoencoders are made of."""
