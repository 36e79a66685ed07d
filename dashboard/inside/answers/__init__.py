"""The tab with the answers of the dense model and its variants to one prompt."""
