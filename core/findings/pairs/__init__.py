"""Paired differences as texts and tables."""
