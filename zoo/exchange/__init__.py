"""Zoos from and to other people's formats: import of published zoos, export for other tools."""
