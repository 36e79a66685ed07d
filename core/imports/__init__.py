"""Numbers that were measured elsewhere, read from files: those of lm-evaluation-harness, and a CSV of one's own."""
