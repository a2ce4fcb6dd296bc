"""Weight autoencoders and the codecs made from them."""
