"""From tidy rows to points: one row per variant, its name, and what is missing."""
