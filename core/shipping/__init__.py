"""Variants as files that other programs load."""
