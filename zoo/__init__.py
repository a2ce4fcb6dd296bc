"""What a population is: data sets, architectures, recipes, training, views of weights, storage.

``zooscale`` has the names that notebooks and scripts need, from here and from the other packages.
"""
