"""Methods that change how a model computes and none of its weights, such as quantisation of activations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.methods.base import Method
from core.methods.traits import TRAITS

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from core.amount import Amount
    from core.models.shape import ModelShape
    from core.specs import TextWindows


class RuntimeMethod(Method):
    """A method that registers hooks on modules. Subclasses override `install`.

    A checkpoint has no hooks: the engine installs them again after loading, and export formats refuse them. Sizes of a
    variant count its weights only, so they do not change.
    """

    kind = "runtime"
    family = "runtime"
    ratio_kind = "runtime"
    modifies = frozenset()
    leaves = frozenset({"runtime"})
    accepts = TRAITS

    def install(self, model: PreTrainedModel, amount: Amount | None) -> None:
        """Register the hooks; weights, modules and their names must stay the same."""
        raise NotImplementedError

    def cost(self, shape: ModelShape, text: TextWindows | None) -> float:
        return 0
