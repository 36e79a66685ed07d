"""What structured pruning removes from a model: heads, channels, hidden entries, blocks and experts."""
