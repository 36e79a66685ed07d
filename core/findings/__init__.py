"""Answers: DataFrames in, findings out."""
