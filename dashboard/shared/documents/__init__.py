"""The documents of tasks, which several pages show."""
