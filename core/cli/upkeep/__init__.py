"""The commands that keep a machine in order: downloads, a check, the cache and the database."""
