"""Ray: the runtime, workers, actors, and the state of a search."""
