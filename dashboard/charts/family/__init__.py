"""The family tree of a model's variants: its layout and its chart."""
