"""The parameters of methods, which forms and options are generated from."""

from pydantic import Field

from core.specs import Frozen


class MethodParameters(Frozen):
    """A method's parameters: each a field with type, range, default and description."""


class WalkerParameters(MethodParameters):
    """Parameters of every method that reads activations."""

    true_sequential: bool = Field(
        title="Read what is compressed before",
        default=True,
        description="Statistics of each linear see the already compressed linears before it in its block; "
        "off is the reference form, one statistics pass on the dense block.",
    )
