"""Held-out tasks, sets and trainings: networks made or adapted for what nothing was fitted to."""
