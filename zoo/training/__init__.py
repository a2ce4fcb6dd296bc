"""Population training: many members at once, with the same result as one at a time."""
