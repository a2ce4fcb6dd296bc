"""Evaluators at work: networks are made, measured in units of work, and what is found becomes rows of results."""
