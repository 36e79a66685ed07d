"""The size of the linear that rounding is tried on, and what its outputs lose."""

ROWS, INPUTS, GROUP = 24, 128, 32


def loss(gram, weight, rounded):
    """The squared error of the outputs: tr((W - W') X X^T (W - W')^T)."""
    difference = (weight - rounded).double()
    return float((difference @ gram.double() * difference).sum())
