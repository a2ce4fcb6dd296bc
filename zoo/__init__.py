"""What a population is: data sets, architectures, recipes, training, views of weights, storage."""
