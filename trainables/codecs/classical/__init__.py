"""Classical codecs: nothing in them is trained by gradient."""
