"""Charts: tidy rows to plotly figures, and the styles of methods."""
