"""The function-metric transform codec: closed form, no training; the one to beat."""
