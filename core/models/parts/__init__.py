"""Parts of a model: blocks, linears, units, and the constraints that later stages preserve."""
