"""The engine: compresses causal language models, measures the variants, and stores the results."""
