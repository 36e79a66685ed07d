"""The decoder blocks of a causal LM and the roles of their linears, found by structure.

No architecture is named here: the blocks are the model's largest list of modules, and a linear's role follows from its
name inside the block.
"""

import copy
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from core.base.errors import UserError, echo
from core.models.lazy import PreTrainedConfig, PreTrainedModel
from core.models.parts.constraints import apply_constraint, constraint_of
from core.models.parts.experts import routers_in
from core.models.parts.selection import selects

Args = tuple[Any, ...]  # Any: a module's arguments depend on the architecture
Kwargs = dict[str, Any]  # Any: as of `Args`
Output = Tensor | tuple[Tensor, ...]  # of a block; hidden states come first
# (role, pattern of the linear's name inside the block); the first match applies.
ROLES = (
    ("qkv", r"(c_attn|qkv_proj|query_key_value|Wqkv)$"),
    ("gate_up", r"gate_up_proj$"),
    ("q", r"(q_proj|query)$"),
    ("k", r"(k_proj|key)$"),
    ("v", r"(v_proj|value)$"),
    ("gate", r"(gate_proj|w1)$"),
    ("up", r"(up_proj|fc1|fc_in|c_fc|w3|dense_h_to_4h)$"),
    ("o", r"(o_proj|out_proj|(attn|attention)\.(c_proj|dense))$"),
    ("down", r"(down_proj|fc2|fc_out|c_proj|w2|dense_4h_to_h)$"),
)


@dataclass(frozen=True)
class Linear:
    """A linear of a block, with weights as (out, in).

    `nn.Linear` stores (out, in), GPT-2's `Conv1D` stores (in, out).
    """

    name: str  # such as model.layers.0.self_attn.q_proj
    block: int
    role: str
    module: nn.Linear | Conv1D

    @property
    def plain(self) -> nn.Linear:
        """The module as `nn.Linear`; a `TypeError` for a `Conv1D`, from which no units or directions are cut."""
        if isinstance(self.module, Conv1D):
            raise TypeError(f"{self.name} stores (in, out).")
        return self.module

    @property
    def shape(self) -> tuple[int, int]:
        """(out, in)."""
        outputs, inputs = self.weight.shape
        return outputs, inputs

    @property
    def weight(self) -> Tensor:
        """The weight as an (out, in) view of the module's memory."""
        weight = self.module.weight.data
        return weight.T if isinstance(self.module, Conv1D) else weight

    @property
    def zeros(self) -> Tensor | None:
        """The mask (out, in) of weights that an earlier stage bound to zero; None without a constraint."""
        known = constraint_of(self.module)
        return None if known is None else known.zeros(self.weight.device)

    @property
    def bound(self) -> int:
        """The number of weights that an earlier stage bound to zero."""
        zeros = self.zeros
        return 0 if zeros is None else int(zeros.sum())

    @property
    def gradient(self) -> Tensor:
        """The gradient of the weight after a backward pass, (out, in)."""
        gradient = self.module.weight.grad
        if gradient is None:
            raise TypeError(f"{self.name} has no gradient.")
        return gradient.T if isinstance(self.module, Conv1D) else gradient

    def set_weight(self, weight: Tensor) -> None:
        """Copy an (out, in) tensor into the module in its own dtype; constrained weights become zero."""
        self.weight.copy_(apply_constraint(self.module, weight))


@dataclass(frozen=True)
class Blocks:
    """The decoder blocks of a model: their module list and its name in the model."""

    name: str
    holder: nn.ModuleList

    def linears(self, index: int) -> list[Linear]:
        """Return the linears of one block in definition order, without those of routers and recurrences."""
        block = self.holder[index]
        spared = routers_in(block) | _recurrences_in(block)
        return [
            Linear(f"{self.name}.{index}.{name}", index, _role(name), module)
            for name, module in block.named_modules()
            if isinstance(module, (nn.Linear, Conv1D)) and module not in spared
        ]

    def place_of(self, linear: Linear) -> str:
        """Return the name of a linear and the place of its block, for the progress."""
        return f"{linear.name}, block {linear.block + 1} of {len(self.holder)}"

    def all_linears(self) -> Iterator[Linear]:
        for index in range(len(self.holder)):
            yield from self.linears(index)

    @property
    def shared(self) -> set[str]:
        """The names of linears whose weight another linear has, too, as several layers use one block."""
        linears = list(self.all_linears())
        uses = Counter(id(linear.module.weight) for linear in linears)
        return {linear.name for linear in linears if uses[id(linear.module.weight)] > 1}

    @property
    def uncovered(self) -> dict[str, int]:
        """The numbers of weights that are in no linear, by name, such as those of routers and convolutions."""
        covered = {id(linear.module.weight) for linear in self.all_linears()}
        return {
            f"{self.name}.{name}": parameter.numel()
            for name, parameter in self.holder.named_parameters()
            if parameter.dim() > 1 and id(parameter) not in covered
        }

    @property
    def uncovered_share(self) -> float:
        """The share of the block weights that are in no linear, and so stay dense."""
        uncovered = sum(self.uncovered.values())
        return uncovered / (uncovered + sum(linear.weight.numel() for linear in self.all_linears()))


def _recurrences_in(block: nn.Module) -> set[nn.Module]:
    """Return the linears that compute the step sizes of a state space: some models read their weights without a call.

    They stay dense, as the other parameters of the recurrence do.
    """
    children = (dict(module.named_children()) for module in block.modules() if hasattr(module, "A_log"))
    return {found["dt_proj"] for found in children if "dt_proj" in found}


def _role(name: str) -> str:
    plain = re.sub(r"\.[01]$", "", name)  # both factors of a linear have its role
    return next((role for role, pattern in ROLES if re.search(pattern, plain)), "other")


def find_blocks(model: nn.Module) -> Blocks:
    """Return the decoder blocks; raise `UserError` if there are none or if they have no linears."""
    lists = [
        (name, module) for name, module in model.named_modules() if isinstance(module, nn.ModuleList) and len(module)
    ]
    if not lists:
        raise UserError(f"{type(model).__name__} has no list of decoder blocks, so it cannot be compressed.")
    name, holder = max(lists, key=lambda item: sum(p.numel() for p in item[1].parameters()))
    blocks = Blocks(name, holder)
    if next(blocks.all_linears(), None) is None:
        raise UserError(f"The blocks of {type(model).__name__} have no linears, so it cannot be compressed.")
    return blocks


def select(linears: list[Linear], layers: str | None, blocks: int) -> list[Linear]:
    """Return the linears that `layers` selects, all for None; raise `UserError` if it selects none."""
    if layers is None:
        return linears
    found = selects(layers, blocks, [(linear.block, linear.name) for linear in linears])
    return [linear for linear, selected in zip(linears, found, strict=True) if selected]


def by_block(linears: Iterable[Linear]) -> dict[int, list[Linear]]:
    """Return the linears grouped by block index, in order."""
    found: dict[int, list[Linear]] = {}
    for linear in linears:
        found.setdefault(linear.block, []).append(linear)
    return found


def hooked(linears: Iterable[Linear], hook: Callable[[Linear, Tensor], None]) -> ExitStack:
    """Return a context in which `hook` gets each linear and its input before the linear runs."""
    stack = ExitStack()
    for linear in linears:

        def pre_hook(module: nn.Module, args: tuple[Tensor, ...], linear: Linear = linear) -> None:
            hook(linear, args[0])

        stack.enter_context(linear.module.register_forward_pre_hook(pre_hook))
    return stack


def first(output: Output) -> Tensor:
    """Return the hidden states of a block's output, which is a tensor or a tuple."""
    return output if isinstance(output, Tensor) else output[0]


def text_config(model: PreTrainedModel) -> PreTrainedConfig:
    """Return the configuration of the model's language part; its fields depend on the architecture."""
    return model.config.get_text_config()


def base_class(model: PreTrainedModel) -> type:
    """Return the transformers architecture of a model."""
    return next(c for c in type(model).__mro__ if c.__module__.startswith("transformers.models"))


def plain_like(model: PreTrainedModel, config: PreTrainedConfig) -> PreTrainedModel:
    """Return a new model of the same architecture without memory for its weights."""
    with torch.device("meta"):
        plain: PreTrainedModel = base_class(model)(copy.deepcopy(config))
    return plain


def body(model: PreTrainedModel) -> nn.Module:
    """Return a language model without its head; a few architectures do not declare it as their base."""
    return model.get_submodule("model") if model.base_model is model else model.base_model


def move(model: nn.Module, device: torch.device) -> None:
    """Move a model in place; type checkers misread the declaration of `PreTrainedModel.to`."""
    model.to(device)


def sliding_window(model: PreTrainedModel) -> int | None:
    """Return the longest sliding attention window of the model's configuration; None without one."""
    config = text_config(model)
    return getattr(config, "sliding_window", None) if getattr(config, "use_sliding_window", True) else None


def execution_device(device: str) -> torch.device:
    """Return the device to compute on; raise `UserError` if this machine lacks it."""
    check_available(device)
    try:
        wanted = torch.device(device)
        torch.empty(1, device=wanted)
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"Device {echo(device)} does not work here: {str(error).splitlines()[0]}") from None
    return wanted


def check_available(device: str) -> None:
    """Raise `UserError` if this machine lacks a device; CUDA does not start, as it would then choose its GPU."""
    have = ["cpu", *(f"cuda:{place}" for place in range(torch.cuda.device_count()))]
    have += ["mps"] * torch.backends.mps.is_available()
    if device not in have and not (device == "cuda" and "cuda:0" in have):
        raise UserError(f"Device {echo(device)} is not available here; this machine has {', '.join(have)}.")
