"""Keeps the files that records hold: where they are, how to get them, and where to store them."""
