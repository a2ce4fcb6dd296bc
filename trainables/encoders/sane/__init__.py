"""Sequential autoencoding of tokens of networks of any size."""
