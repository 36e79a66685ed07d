"""Which models there are, where they come from, and where their blocks and linears lie."""
