"""Analyses of results: DataFrame in, DataFrame out."""
