"""Kills of every process at random moments of every kind of work. `make full PART=kills` runs them."""
