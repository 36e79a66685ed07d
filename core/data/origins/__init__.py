"""Origins of data files: places to fetch them from, each with its part of the user cache."""
