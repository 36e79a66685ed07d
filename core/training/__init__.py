"""Training after compression and during pruning: training data, losses, and the shared loop."""
