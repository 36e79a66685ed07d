"""The dense model, and bases of methods that remove nothing: preparations, hooks, rounded tables, reconstructions."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

from core.amount import Amount
from core.base.errors import UserError
from core.methods.annotations import Linear, ModelShape, PreTrainedModel, Tensor, TextWindows
from core.methods.base import Method
from core.methods.linear import Compressed, LinearMethod, Plan, Target
from core.methods.terms import STORED, TRAITS, Kind, Trait


class TransformMethod(Method):
    """A method that rewrites the model for later stages without changing its outputs; it removes nothing."""

    kind = "rotation"
    requires = "rotation"
    takes_amount = False
    leaves = frozenset({"rotation"})
    accepts = frozenset({"rotation"})  # a rotation mixes zeros with the rest

    def refusal(self, trait: Trait) -> str:
        mixed = trait not in ("grid", "runtime")
        return "would mix the weights that {label} compressed" if mixed else super().refusal(trait)

    def memory(self, shape: ModelShape, text: TextWindows | None, item: int, streams: bool = False) -> int:
        """Count the rotation, and one matrix with its rotated one, in fp64."""
        return 8 * shape.hidden * (shape.hidden + 2 * max(shape.hidden, shape.ffn))

    def rotation(self, width: int) -> Tensor:
        """Return the orthogonal matrix (width, width), fp64, that rotates the hidden states."""
        raise NotImplementedError

    def heads(self, width: int) -> Tensor | None:
        """Return the orthogonal matrix that rotates each head's values; None leaves them unchanged."""
        raise NotImplementedError


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


class TableQuantMethod(Method):
    """A method that compresses the embedding, and the head unless tied to it. Subclasses override `compress_table`."""

    kind: ClassVar[Kind] = "tables"
    modifies = frozenset({"tables"})
    leaves = frozenset({"table grid"})
    accepts = STORED - {"table grid", "embedding"}

    def memory(self, shape: ModelShape, text: TextWindows | None, item: int, streams: bool = False) -> int:
        """Count one table in its precision, in fp32 and after rounding."""
        return shape.vocabulary * shape.hidden * (item + 2 * 4)

    def compress_table(self, weight: Tensor, target: Target) -> Compressed:
        """Compress one table (tokens, hidden), fp32, which may be overwritten."""
        raise NotImplementedError


class Reconstruction(LinearMethod):
    """A method that changes kept weights to bring each linear close to its reference; it removes nothing."""

    family = "reconstruction"
    takes_amount = False
    leaves: frozenset[Trait] = frozenset()
    accepts = STORED - {"grid"}

    def plan(self, linears: Sequence[Linear], target: Target, observed: Mapping[str, Tensor]) -> Plan:
        """Raise `UserError` if no linear is masked."""
        from core.models.parts.constraints import constraint_of

        if not any(constraint_of(linear.module) for linear in linears):
            raise self._unmet()
        return {}

    def check_before(self, left: frozenset[Trait]) -> None:
        if "zeros" not in left:
            raise self._unmet()

    def _unmet(self) -> UserError:
        """Return the error for a model without any mask."""
        return UserError(
            f"{self.label} re-solves the kept weights of a pruned model, but no weight is pruned. Prune first, such as "
            f"magnitude@0.5+{self.name}."
        )

    def memory(self, shape: ModelShape, text: TextWindows | None, item: int, streams: bool = False) -> int:
        """Add the dense model, which is the reference, unless it streams."""
        return super().memory(shape, text, item, streams) + (not streams) * shape.parameters * item


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
