"""The model catalogue, model sources, and the blocks and linears of a model."""
