"""Compression laws: how quality falls with what was removed, in the forms of papers, and how well each predicts."""
