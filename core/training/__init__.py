"""Training after compression and while pruning: what it learns from, and the one loop that all share."""
