"""The GGUF types of exported tensors, and their bits per weight; imports nothing that computes."""

BLOCK = 32  # inputs of a row that share a scale
F16, Q8 = "F16", "Q8_0"
BITS = {Q8: 8, "Q4_0": 4, "Q4_1": 4, "Q5_0": 5, "Q5_1": 5}  # per code
TYPES = (F16, *BITS)
F32_BITS = 32  # of norms and biases


def bits_per_weight(kind: str) -> float:
    """Return the bits per weight, including its share of scale and minimum."""
    if kind == F16:
        return 16.0
    return BITS[kind] + 16 * (2 if kind.endswith("_1") else 1) / BLOCK


def exact_type(bits: float, group: int, zeros: bool, wanted: str) -> str | None:
    """Return the type as wide as `wanted` whose blocks store a grid's codes and scales; None if there is none.

    Args:
        bits: Of a code.
        group: Inputs that share a scale; 0: the whole row.
        zeros: Whether a group has a zero point, too.
        wanted: A type.
    """
    width = BITS.get(wanted)
    if width is None or bits > width or group % BLOCK:
        return None
    form = f"Q{width}_{1 if zeros else 0}"
    return form if form in BITS else None


def type_for(inputs: int, wanted: str) -> str:
    """Return the type of a matrix: F16 if its rows are not whole blocks."""
    return F16 if inputs % BLOCK else wanted


def table_type(kind: str) -> str:
    """Return the type of an embedding or a head that is on no narrower grid, beside linears of type `kind`."""
    return F16 if kind == F16 else Q8
