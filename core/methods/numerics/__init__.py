"""Tensor functions that method families share."""
