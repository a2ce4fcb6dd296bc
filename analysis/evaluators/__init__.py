"""What can be said of networks by applying them, or by looking at their weights: one file an evaluator."""
