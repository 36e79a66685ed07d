"""The engine: compresses causal language models, measures what that costs, and stores the numbers."""
