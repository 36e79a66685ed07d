"""Storage of results: the user's database, sample files, and the bundled results of the project."""
