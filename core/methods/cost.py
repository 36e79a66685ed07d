"""Cost of a method's steps: operations and bytes, from the model's shape and the calibration data."""

from collections.abc import Callable
from typing import Literal, get_args

from core.models.shape import ModelShape
from core.specs import TextWindows

Sum = Literal["sqnorm", "gram", "mean", "absolute"]  # over tokens; see `core.methods.linear.Statistics`
SUMS: tuple[Sum, ...] = get_args(Sum)

GRAMS = 3  # matrices of this size in memory at once: the Gram matrix, its factor and a workspace
COPIES = 5  # of one linear's weight in fp32, while it is compressed
SELECTION = 500  # operations to rank one weight and to count it afterwards
# Bytes of the logits in memory at once, and of their gradients. With fewer tokens at a time, reading the head's weights
# takes longer than using them.
LOGIT_BYTES = 2**28


def walking(shape: ModelShape, text: TextWindows | None, passes: int, sums: Callable[[str], frozenset[Sum]]) -> float:
    """Return the operations of the calibration forward passes and of the sums over inputs."""
    if text is None:
        return 0
    tokens = text.windows * text.window
    grams = shape.blocks * sum(tokens * width**2 + 2 * width**3 for width in _gram_widths(shape, sums))
    return grams + passes * shape.forward(tokens, text.window)


def unread(windows: int) -> int:
    """Return the number of held-out sequences of a scan: a quarter, for losses instead of calibration."""
    return max(1, windows // 4)


def scanning(shape: ModelShape, text: TextWindows, parts: int) -> float:
    """Return the operations to measure the loss with each of `parts` compressed alone.

    The held-out sequences run from the compressed part on, on average through half of the model, and through the head.
    """
    tokens = unread(text.windows) * text.window
    body, whole = (shape.forward(tokens, text.window, head=head) for head in (False, True))
    return parts * (whole - body / 2)


def differentiating(shape: ModelShape, text: TextWindows) -> float:
    """Return the operations of a forward and a backward pass over a text and the head; backward counts twice."""
    return 3 * shape.forward(text.windows * text.window, text.window, head=True)


def gradient_bytes(shape: ModelShape, text: TextWindows, copies: int, streams: bool) -> int:
    """Return the bytes of one sequence's activations, a gradient, some logits and `copies` of the weights.

    The copies of a model that streams lie on disk.
    """
    widest = shape.hidden * max(shape.hidden, shape.ffn)
    copied = (not streams) * copies * shape.block_weights
    return 4 * (text.window * shape.saved_by(streams) + 2 * widest + copied) + LOGIT_BYTES


def gram_bytes(shape: ModelShape, sums: Callable[[str], frozenset[Sum]]) -> int:
    """Return the bytes of the largest Gram matrix, its factor and a workspace."""
    return 4 * GRAMS * max(_gram_widths(shape, sums), default=0) ** 2


def _gram_widths(shape: ModelShape, sums: Callable[[str], frozenset[Sum]]) -> list[int]:
    widths = {"q": shape.hidden, "o": shape.hidden, "up": shape.hidden, "down": shape.ffn}  # one role per input tensor
    return [width for role, width in widths.items() if "gram" in sums(role)]


def solving(shape: ModelShape) -> float:
    """Return the operations of a solve with the Gram matrix of every linear, such as a sweep or scores."""
    return 2 * shape.block_weights * max(shape.hidden, shape.block_weights // shape.blocks // (4 * shape.hidden))
