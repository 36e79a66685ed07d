"""Measurements of a model: perplexity, task accuracy, memory footprint and latency."""
