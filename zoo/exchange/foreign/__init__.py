"""Readers of the formats in which others publish their zoos."""
