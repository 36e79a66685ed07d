"""Parameters of methods, from which forms and options are generated."""

from pydantic import Field

from core.specs import Frozen


class MethodParameters(Frozen):
    """A method's parameters: each is a field with type, range, default and description."""


class WalkerParameters(MethodParameters):
    """Parameters of every method that reads activations."""

    true_sequential: bool = Field(
        title="Sequential calibration within a block",
        default=True,
        description="Collect each linear's statistics after compressing the linears before it in its block. Off, "
        "as in the reference code: one pass over the dense block.",
    )
