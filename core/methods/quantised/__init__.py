"""Methods that keep weights as whole numbers of a few bits and a scale."""
