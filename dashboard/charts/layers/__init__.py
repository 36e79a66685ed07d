"""Charts of the matrices of a variant."""
