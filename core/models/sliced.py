"""A decoder block whose hidden states live in a rotated, narrower space that changes from one residual to the next.

References: Ashkboos et al., SliceGPT: Compress Large Language Models by Deleting Rows and Columns, 2024
(arXiv:2401.15024), section 3.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class UnitNorm(nn.Module):
    """Divide by the root mean square that the states had in their full width; the scale is in the next matrices."""

    def __init__(self, width: int, eps: float):
        super().__init__()
        self.width, self.eps = width, eps

    def forward(self, hidden: Tensor) -> Tensor:
        wide = hidden.to(torch.promote_types(hidden.dtype, torch.float32))
        mean = wide.square().sum(-1, keepdim=True) / self.width
        return (wide * torch.rsqrt(mean + self.eps)).to(hidden.dtype)


class SlicedBlock(nn.Module):
    """A pre-norm block with a shortcut matrix on each of its two residuals.

    It keeps the names of the original's parts; the norms are `UnitNorm`, the shortcuts linears of their own.
    """

    def __init__(self, block: nn.Module, attention: str, norms: tuple[str, str], ffn: tuple[str, ...], width: int):
        super().__init__()
        for name, child in block.named_children():
            self.add_module(name, child)
        self.attention_name, self.norm_names, self.ffn_names = attention, norms, ffn
        for name in norms:
            self.add_module(name, UnitNorm(width, norm_eps(getattr(block, name))))
        self.attention_type = getattr(block, "attention_type", None)
        self.attention_shortcut: nn.Linear | None = None
        self.ffn_shortcut: nn.Linear | None = None

    def attend(self, hidden: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """Return what attention adds to the residual stream."""
        normed = getattr(self, self.norm_names[0])(hidden)
        return getattr(self, self.attention_name)(*args, hidden_states=normed, **kwargs)[0]

    def feed(self, hidden: Tensor) -> Tensor:
        """Return what the FFN adds to the residual stream."""
        hidden = getattr(self, self.norm_names[1])(hidden)
        for name in self.ffn_names:
            hidden = getattr(self, name)(hidden)
        return hidden

    def forward(self, hidden_states: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        hidden = self.attention_shortcut(hidden_states) + self.attend(hidden_states, *args, **kwargs)
        return self.ffn_shortcut(hidden) + self.feed(hidden)


def norm_eps(norm: nn.Module) -> float:
    """Return what a norm adds to the variance, by either of the names that norms use."""
    return getattr(norm, "variance_epsilon", None) or getattr(norm, "eps", 0.0)
