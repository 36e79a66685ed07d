"""Methods and recoveries that do nothing in place of their work, by kind."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from core.evaluation.layers import report
from core.methods.base import Method
from core.methods.convolution.base import ConvMethod
from core.methods.embedding.base import EmbeddingMethod
from core.methods.inputs import Compressed
from core.methods.linear import LinearMethod
from core.methods.quantised.blocks import BlockQuantMethod, BlockView, QuantisedLinear
from core.methods.structured.base import (
    BlockRemovalMethod,
    ChannelChoice,
    FactoredUnitMethod,
    HeadChoice,
    HiddenSizeMethod,
    SliceMethod,
    StructuredBlockView,
    UnitMethod,
)
from core.methods.structured.experts.base import ExpertMethod
from core.methods.tables import TableQuantMethod
from core.models.modeling_slimscope import LowRankEmbedding
from core.models.parts.blocks import Blocks
from core.training.base import Recovery, TrainPruneMethod
from core.training.losses import text_loss


class NoPruning:
    """A pruning schedule that removes nothing."""

    def __init__(self, blocks: Blocks):
        self.blocks = blocks

    def begin(self, adapters: Any) -> None:
        pass

    def after_gradients(self, spent: float) -> None:
        pass

    def is_final(self, spent: float) -> bool:
        return True

    def finish(self) -> list:
        return [report(linear) for linear in self.blocks.all_linears()]


def _all_heads(method: Method, view: StructuredBlockView, steps: int) -> HeadChoice:
    return HeadChoice(torch.arange(view.shape.query_heads), torch.arange(view.shape.kv_heads))


def _all_channels(method: Method, view: StructuredBlockView, count: int) -> ChannelChoice:
    return ChannelChoice(torch.arange(view.shape.channels))


def _whole(method: Method, view: StructuredBlockView, role: str, rank: int) -> tuple[Tensor, Tensor]:
    weight = view.weight(role)
    return weight, torch.eye(weight.shape[1])


def _unrounded(method: Method, view: BlockView, *_: Any) -> dict[str, QuantisedLinear]:
    weights = {linear.name: linear.weight.clone() for linear in view.linears}
    return {name: QuantisedLinear(weight, Compressed(weight), weight) for name, weight in weights.items()}


def _whole_table(method: Method, table: Tensor, *_: Any) -> tuple[LowRankEmbedding, str]:
    found = LowRankEmbedding(*table.shape, table.shape[1])
    found.left, found.right = nn.Parameter(table), nn.Parameter(torch.eye(table.shape[1]))
    return found, "all of it"


IDLE = {
    TableQuantMethod: {"compress_table": lambda self, weight, *_: Compressed(weight)},
    EmbeddingMethod: {"factored": _whole_table},
    BlockQuantMethod: {"round_block": _unrounded},
    LinearMethod: {"compress": lambda self, weight, *_: Compressed(weight)},
    ConvMethod: {"plan": lambda self, options, ratio: dict.fromkeys(options)},
    UnitMethod: {"heads": _all_heads, "channels": _all_channels},
    FactoredUnitMethod: {"factor": _whole, "channels": _all_channels},
    BlockRemovalMethod: {"keep_blocks": lambda self, views, ratio: list(range(len(views)))},
    ExpertMethod: {"kept": lambda self, layer, count, groups: torch.arange(len(layer.tokens))},
    HiddenSizeMethod: {"keep_hidden": lambda self, views, ratio: torch.arange(views[0].shape.hidden)},
    SliceMethod: {"width": lambda self, hidden, weights, ratio: hidden},
    TrainPruneMethod: {"pruning": lambda self, blocks, ratio: NoPruning(blocks)},
    Recovery: {"loss": lambda self, student, teacher, batch: 0 * text_loss(student, batch)},
}


def idle(monkeypatch: Any, method: type[Method]) -> None:
    """Replace a method's work by nothing. A method of another kind needs its own line in `IDLE`."""
    kind = next(base for base in method.__mro__ if base in IDLE)
    for name, nothing in IDLE[kind].items():
        monkeypatch.setattr(method, name, nothing)
