"""Where results lie: the user's database, samples beside it, and the rows that ship with the project."""
