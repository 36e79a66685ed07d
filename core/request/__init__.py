"""From what a user typed to a checked run, and what it will cost."""
