"""Task embeddings compared: distances, what they agree with, which source serves a target, and a page."""
