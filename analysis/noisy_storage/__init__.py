"""Networks read back from memory that makes errors: analog cells with noise, and payloads with flipped bits."""
