"""Training after compression: what it learns from, and the one loop that all recoveries share."""
