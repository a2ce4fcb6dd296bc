"""Codecs: networks to bytes and back."""
