"""What a method's steps cost: floating-point operations and bytes, from the model's shape and the text that is read."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, get_args

if TYPE_CHECKING:
    from core.models.shape import ModelShape
    from core.specs import TextWindows

Sum = Literal["sqnorm", "gram", "mean", "absolute"]  # over the tokens of an input; see `core.methods.inputs.Statistics`
SUMS: tuple[Sum, ...] = get_args(Sum)

SELECTION = 500  # operations of ranking one weight and of counting it afterwards
# Of the few tokens whose logits are held at once, and of their gradients: with fewer tokens the head's weights are read
# more often than they are used.
LOGIT_BYTES = 2**28


def walking(shape: ModelShape, text: TextWindows | None, passes: int, sums: Callable[[str], frozenset[Sum]]) -> float:
    """Return the operations of running calibration text through the blocks and of the sums of their inputs."""
    if text is None:
        return 0
    tokens = text.windows * text.window
    grams = shape.blocks * sum(tokens * width**2 + 2 * width**3 for width in _gram_widths(shape, sums))
    return grams + passes * shape.forward(tokens, text.window)


def unread(windows: int) -> int:
    """Return how many of its windows a scan does not calibrate on, and reads losses on: a quarter."""
    return max(1, windows // 4)


def scanning(shape: ModelShape, text: TextWindows, parts: int) -> float:
    """Return the operations of reading what a model loses with each of so many parts compressed.

    The unread windows run from the part on, so on average through half of the model, and over the vocabulary.
    """
    tokens = unread(text.windows) * text.window
    body, whole = (shape.forward(tokens, text.window, head=head) for head in (False, True))
    return parts * (whole - body / 2)


def differentiating(shape: ModelShape, text: TextWindows) -> float:
    """Return the operations of a forward and a backward pass, which counts as two, over a text and the vocabulary."""
    return 3 * shape.forward(text.windows * text.window, text.window, head=True)


def gradient_bytes(shape: ModelShape, text: TextWindows, copies: int) -> int:
    """Return the bytes of one window's activations, of a few logits, and of so many tensors of the weights' sizes."""
    return 4 * (text.window * shape.saved + copies * shape.block_weights) + LOGIT_BYTES


def gram_bytes(shape: ModelShape, sums: Callable[[str], frozenset[Sum]]) -> int:
    """Return the bytes of the largest Gram matrix, its factor and what makes it."""
    return 4 * 3 * max(_gram_widths(shape, sums), default=0) ** 2


def _gram_widths(shape: ModelShape, sums: Callable[[str], frozenset[Sum]]) -> list[int]:
    widths = {"q": shape.hidden, "o": shape.hidden, "up": shape.hidden, "down": shape.ffn}  # one role an input tensor
    return [width for role, width in widths.items() if "gram" in sums(role)]


def solving(shape: ModelShape) -> float:
    """Return the operations of what follows a Gram matrix in each linear: a sweep, or scores."""
    return 2 * shape.block_weights * max(shape.hidden, shape.block_weights // shape.blocks // (4 * shape.hidden))
