"""Encoders: networks become vectors that tell of them."""
