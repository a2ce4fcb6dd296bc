"""Everything fitted on weights by gradient, and the codecs made from it."""
