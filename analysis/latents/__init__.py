"""Autoencoders looked into: what their latents hold, what each of them does, and what lies between two networks."""
