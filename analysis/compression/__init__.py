"""Codecs and controls: what their codes take, what they keep, and the few figures by which they are compared."""
