"""Texts and tasks: their catalogues, identities and files."""
