"""Compression laws: the forms that papers fit to quality over the pruning ratio, and their prediction errors."""
