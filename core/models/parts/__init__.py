"""The parts of a model: its blocks, their linears and units, and what later stages must keep of them."""
