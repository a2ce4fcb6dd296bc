"""What is fitted to populations, by gradient or in closed form: codecs, autoencoders, and what else is registered."""
