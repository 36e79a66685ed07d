"""Texts and tasks: which there are, what exactly each one is, and where their files come from."""
