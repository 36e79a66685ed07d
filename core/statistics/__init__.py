"""Standard errors of correlated windows."""
