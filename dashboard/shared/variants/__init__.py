"""Parts of pages on one variant."""
