"""Compression laws: how quality falls with what was removed, in the forms that papers fit, and how well each predicts."""
