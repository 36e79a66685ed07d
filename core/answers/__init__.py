"""Answers of several variants to one prompt, from a process of their own that holds the models."""
