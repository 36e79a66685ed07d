"""Round to nearest: every weight to the nearest point of its group's grid, the baseline of the other methods."""

from typing import Literal

from pydantic import Field

from core.amount import Amount
from core.methods.annotations import Tensor
from core.methods.base import Method
from core.methods.kinds import TableQuantMethod
from core.methods.linear import Compressed, Statistics, Target
from core.methods.numerics.groups import SymmetricScales
from core.methods.parameters import MethodParameters
from core.methods.quantised.base import GridParameters, QuantisedMethod
from core.methods.terms import Citation


class RTNParameters(GridParameters):
    on: Literal["linears", "embedding"] = Field(
        default="linears",
        description="Weights to round. linears: the linear layers inside the blocks. embedding: the embedding, "
        "and the head unless it is tied, one row per token.",
    )


class RTN(SymmetricScales, QuantisedMethod):
    name = "rtn"
    label = "RTN"
    version = 2
    citation = Citation(
        title="The case for 4-bit precision: k-bit Inference Scaling Laws",
        authors="Dettmers & Zettlemoyer",
        year=2023,
        url="https://arxiv.org/abs/2212.09720",
        part="section 2",
    )
    summary = "Rounds each weight to the nearest of a few evenly spaced values; uses no data."
    idea = (
        "The weights of a trained model need far fewer bits than they are stored with. Each group of neighbouring "
        "inputs gets a scale. Every weight is rounded to the nearest multiple of the scale that a few bits can "
        "count."
    )
    formulas = (
        r"W'_{ij} = s\,(c_{ij} - z), \qquad c_{ij} = \left\lfloor \tfrac{W_{ij}}{s} \right\rceil + z",
        r"s = -\frac{w}{2^{b-1}} \quad\text{or}\quad \frac{\max W - \min W}{2^b - 1}",
    )
    symbols = {
        "s": "scale of the group: symmetric, or asymmetric",
        "w": "the group's weight of largest absolute value",
        "c": "code, an integer of b bits",
        "z": "zero point of the group",
        "b": "bits per weight",
    }
    bit_choices = (2, 3, 4, 6, 8)
    Parameters = RTNParameters

    @classmethod
    def create(cls, parameters: MethodParameters, seed: int | None, amount: Amount | None = None) -> Method:
        tables = isinstance(parameters, RTNParameters) and parameters.on == "embedding"
        return (RTNOfTables if tables else RTN)(parameters, seed)

    def compress(self, weight: Tensor, statistics: Statistics, target: Target, plan: int | None = None) -> Compressed:
        return self._rounded(weight, target)

    def _rounded(self, weight: Tensor, target: Target) -> Compressed:
        from core.methods.find import find_grid

        how = self.parameters
        grid = find_grid(weight, int(target.bits), self.group(weight.shape[1]), how.symmetric, how.clip, how.grid)
        return Compressed(grid.nearest(weight), grid=grid)


class RTNOfTables(TableQuantMethod, RTN):
    """RTN of the embedding, and of the head unless it is tied."""

    short_label = "emb"

    selects_layers = False

    def compress_table(self, weight: Tensor, target: Target) -> Compressed:
        return self._rounded(weight, target)
