"""Generators: what they make, whether it is new, and whether it is what was asked for."""
