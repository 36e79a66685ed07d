"""Tidy rows to plotly figures, and what a method looks like in all of them."""
