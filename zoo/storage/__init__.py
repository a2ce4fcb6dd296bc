"""Zoos on storage: shards, manifests, the reader, generation and verification."""
