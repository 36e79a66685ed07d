"""Import of results measured elsewhere: files of lm-evaluation-harness and CSV files."""
