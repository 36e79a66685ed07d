"""Methods that remove whole experts from mixtures of experts: REAP, and the baseline with which its paper compares."""

from dataclasses import dataclass

from core.methods.annotations import ModelShape, Tensor, TextWindows
from core.methods.cost import walking
from core.methods.structured.base import StructuredMethod
from core.methods.terms import STORED, Citation


@dataclass(frozen=True)
class RoutingStatistics:
    """What the experts of one layer did on the calibration data."""

    tokens: Tensor  # (experts,) tokens that the router sent each expert, fp64
    contribution: Tensor  # (experts,) sum over these tokens of router weight times the norm of the output, fp64


class ExpertMethod(StructuredMethod):
    """A method that removes whole experts, equally many from every layer; the router chooses among the others."""

    kind = "experts"
    requires = "experts"
    modifies = frozenset()  # the remaining experts stay unchanged
    accepts = STORED - {"factors", "basis"}
    data_requirement = "calibration"

    @property
    def observations(self) -> tuple[str, ...]:
        return ("routing",)

    def scores(self, layer: RoutingStatistics) -> Tensor:
        """Return the importance of each expert, (experts,); those with the lowest are removed."""
        raise NotImplementedError

    def kept(self, layer: RoutingStatistics, count: int, groups: int) -> Tensor:
        """Return the kept experts of a layer, ascending, after `count` are removed, as many from every group."""
        from core.models.removal.experts import lowest_in_groups

        return lowest_in_groups(self.scores(layer).cpu(), count, groups)

    def cost(self, shape: ModelShape, text: TextWindows | None) -> float:
        return walking(shape, text, 1, self.sums)


class REAP(ExpertMethod):
    name = "reap"
    label = "REAP"
    citation = Citation(
        title="REAP the Experts: Why Pruning Prevails for One-Shot MoE Compression",
        authors="Lasby et al.",
        year=2025,
        url="https://arxiv.org/abs/2510.13999",
    )
    summary = "Removes the experts whose outputs, weighted by the router, are smallest on the tokens that they get."
    idea = (
        "A mixture of experts sends each token to a few of many experts. REAP measures how much an expert adds to the "
        "tokens that it gets: the router's weight times the size of the expert's output. The experts with the lowest "
        "mean are removed from every layer, and the router chooses among the others."
    )
    formulas = (r"S_e = \frac{1}{|T_e|} \sum_{t \in T_e} g_e(x_t)\, \lVert f_e(x_t) \rVert_2",)
    symbols = {
        "S_e": "importance of an expert; the lowest in a layer are removed",
        "x_t": "hidden state of token t",
        "T_e": "tokens that the router sends the expert",
        "g_e": "weight that the router gives the expert",
        "f_e": "output of the expert",
    }

    def scores(self, layer: RoutingStatistics) -> Tensor:
        """Return the mean contribution to a token; 0 for an expert that no token reached."""
        return layer.contribution / layer.tokens.clamp(min=1)


class ExpertFrequency(ExpertMethod):
    name = "expert-frequency"
    label = "Expert frequency"
    citation = REAP.citation
    summary = "Removes the experts to which the router sends the fewest tokens."
    idea = (
        "The router of a mixture of experts uses some experts rarely. Those with the fewest calibration tokens are "
        "removed from every layer, and the router chooses among the others. It ignores what an expert computes, so "
        "it is the baseline for REAP."
    )
    formulas = (r"S_e = |T_e|",)
    symbols = {
        "S_e": "importance of an expert; the lowest in a layer are removed",
        "T_e": "tokens that the router sends the expert",
    }

    def scores(self, layer: RoutingStatistics) -> Tensor:
        return layer.tokens
