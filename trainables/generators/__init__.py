"""Generators: new networks from what a population of trained ones has in common."""
