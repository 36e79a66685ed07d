"""The autopilot: a search for the best chain within a budget."""
