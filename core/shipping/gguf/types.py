"""The GGUF types of exported tensors, and their bits per weight; imports nothing that computes."""

BLOCK = 32  # inputs of a row that share a scale
F16, Q8 = "F16", "Q8_0"
BITS = {Q8: 8, "Q4_0": 4, "Q4_1": 4, "Q5_0": 5, "Q5_1": 5}  # per code
TYPES = (F16, *BITS)


def bits_per_weight(kind: str) -> float:
    """Return the bits per weight, including its share of scale and minimum."""
    if kind == F16:
        return 16.0
    return BITS[kind] + 16 * (2 if kind.endswith("_1") else 1) / BLOCK
