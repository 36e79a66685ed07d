"""The uncompressed model, the baseline that every other variant is compared with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.methods.base import Method
from core.methods.terms import NEUTRAL

if TYPE_CHECKING:
    from core.models.shape import ModelShape
    from core.specs import TextWindows


class Dense(Method):
    name = "dense"
    label = "Dense"
    family = "dense"
    summary = "The model as it is: nothing removed."
    idea = (
        "Nothing is removed, so this is the model that every other one is held against. What a method loses is its "
        "distance to this model on the same text and the same questions."
    )
    formulas = ("W' = W",)
    takes_amount = False
    colour = NEUTRAL
    marker = "star"
    dash = "dot"

    def cost(self, shape: ModelShape, text: TextWindows | None) -> float:
        return 0
