"""Measuring a model: perplexity, zero-shot accuracy, footprint, latency."""
