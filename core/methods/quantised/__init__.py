"""Methods that store weights as integers of a few bits and a scale."""
