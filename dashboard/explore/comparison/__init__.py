"""The comparison of two points: its field and its drawer."""
