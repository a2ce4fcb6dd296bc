"""Set-based encoding of networks: weights, chunks and layers as sets."""
