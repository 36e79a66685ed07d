"""The Explore page: its view, its fields and its parts."""
