"""The best variants: at an amount, within a budget, and within each size."""
