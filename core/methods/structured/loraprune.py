"""LoRAPrune's criterion in one shot: Taylor scores from estimates of the weights' gradients by LoRA's own gradients.

As training starts, LoRA's A is random and B zero. The estimate of the weight's gradient G is then g_B A with g_B = G
A^T: a projection to the rank of the adapter.
"""

from functools import cached_property, reduce
from operator import add

from pydantic import Field

from core.methods.annotations import Generator, Tensor
from core.methods.structured.base import StructuredBlockView, unit_sums
from core.methods.structured.gradients import GradientParameters, GradientUnitMethod
from core.methods.terms import Citation
from core.models.removal.geometry import Geometry

DECAY = 0.9  # of the moving average over sequences or steps


class LoRAPruneParameters(GradientParameters):
    rank: int = Field(
        title="Rank of the adapter",
        default=8,
        ge=1,
        le=256,
        description="Rank of the adapter that estimates the gradients.",
    )


def normed_sums(estimate: Tensor, weight: Tensor, role: str, shape: Geometry) -> Tensor:
    """Return the unit scores of a matrix, (units,), divided by their norm; `estimate` is its gradient, (out, in)."""
    sums = unit_sums((estimate * weight).abs_(), role, shape)
    score: Tensor = sums / sums.norm().clamp_min(1e-30)
    return score


def averaged(known: Tensor | None, score: Tensor) -> Tensor:
    """Include a score in its moving average `known`, in place; None for the first score."""
    return (1 - DECAY) * score if known is None else known.mul_(DECAY).add_(score, alpha=1 - DECAY)


class LoraScore:
    """A moving average over sequences of one linear's unit scores, each divided by its sequence's norm."""

    def __init__(self, role: str, shape: Geometry, rank: int, generator: Generator):
        self.role, self.shape, self.rank, self.generator = role, shape, rank, generator
        self.down: Tensor | None = None  # A (rank, in)
        self.scores: dict[str, Tensor] = {}  # "score" (units,), after the first sequence

    def add(self, weight: Tensor, gradient: Tensor) -> None:
        import torch

        if self.down is None:  # as PEFT starts it: uniform within 1 / sqrt(in)
            bound = weight.shape[1] ** -0.5
            uniform = torch.rand(self.rank, weight.shape[1], generator=self.generator)
            self.down = ((2 * uniform - 1) * bound).to(weight.device)
        estimate = (gradient @ self.down.T) @ self.down  # (out, in) g_B A
        self.scores["score"] = averaged(self.scores.get("score"), normed_sums(estimate, weight, self.role, self.shape))

    def tensors(self) -> dict[str, Tensor]:
        return self.scores

    def state(self) -> dict[str, Tensor]:
        return self.scores | ({} if self.down is None else {"down": self.down})

    def restore(self, state: dict[str, Tensor]) -> None:
        self.down, self.scores = state["down"], {"score": state["score"]}


class LoRAPrune(GradientUnitMethod):
    name = "loraprune"
    label = "LoRAPrune"
    version = 2
    citation = Citation(
        title="LoRAPrune: Structured Pruning Meets Low-Rank Parameter-Efficient Fine-Tuning",
        authors="Zhang et al.",
        year=2023,
        url="https://arxiv.org/abs/2305.18403",
        part="equations 7 to 10",
    )
    summary = "Removes the heads and channels that the loss needs least, by gradients estimated through a LoRA adapter."
    idea = (
        "Fine-tuning with adapters computes gradients only for a small adapter on each weight matrix. LoRAPrune "
        "estimates the gradient of the matrix from these. The heads and channels with the smallest weights times "
        "estimates are removed in one shot, before any training."
    )
    formulas = (
        r"\hat{G} = \frac{\partial \mathcal{L}}{\partial B}\, A",
        r"s_u = \sum_{ij \in u} |\hat{G}_{ij}\, W_{ij}|",
        r"S_u = \sum_{W} \overline{\, s_u / \lVert s \rVert_2 \,}",
    )
    symbols = {
        "G": "estimated gradient of the loss with respect to the weights",
        "s": "scores of the units from one matrix",
        r"\overline{\,\cdot\,}": "moving average over calibration sequences",
    }
    draws = True
    Parameters = LoRAPruneParameters

    @property
    def observations(self) -> tuple[str, ...]:
        return (f"unit scores of gradients seen through rank {self.parameters.rank}",)

    def accumulator(self, view: StructuredBlockView, role: str) -> LoraScore:
        return LoraScore(role, view.shape, self.parameters.rank, self._generator)

    def whole(self, blocks: int, ratio: float) -> tuple[int, int]:
        """Return how many of the first and of the last blocks stay whole: 3 and 1 of 32 at any ratio."""
        return blocks // 10, round(blocks / 32)

    @cached_property
    def _generator(self) -> Generator:
        return self.generator()

    def head_scores(self, view: StructuredBlockView) -> tuple[Tensor, Tensor]:
        scores = {role: view.gradients[role]["score"] for role in ("q", "k", "v", "o")}
        return scores["q"] + scores["o"], scores["k"] + scores["v"]

    def channel_scores(self, view: StructuredBlockView) -> Tensor:
        return reduce(add, (view.gradients[role]["score"] for role in (*view.ffn_roles, "down")))
