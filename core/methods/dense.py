"""The uncompressed model, the baseline of every comparison."""

from core.methods.base import Method
from core.models.shape import ModelShape
from core.specs import TextWindows


class Dense(Method):
    kind = "dense"
    name = "dense"
    label = "Dense"
    family = "dense"
    summary = "The uncompressed model; nothing is removed."
    idea = (
        "Every compressed variant is compared with this model. The loss of a method is the difference from this "
        "model on the same text and tasks."
    )
    formulas = ("W' = W",)
    takes_amount = False

    def cost(self, shape: ModelShape, text: TextWindows | None) -> float:
        return 0
