"""Mixtures of experts: transformers stacks the experts of a layer in tensors; here each has linears of its own.

A model in memory has `Experts` wherever its architecture stacks them. Its checkpoint has the stacked tensors again,
unless the experts of a layer differ in shape.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from core.models.lazy import PreTrainedModel
from core.models.modeling_slimscope import Experts, halves, put

CHOSEN = ("num_experts_per_tok", "moe_k", "top_k", "moe_topk")  # experts for each token, in configurations
STACKED = {"gate_up_proj", "up_proj", "down_proj", "gate_up_proj_bias", "up_proj_bias", "down_proj_bias"}


def separate_experts(model: nn.Module, like: nn.Module | None = None) -> None:
    """Replace each module that stacks experts, in place; their linears share its memory where the layout allows.

    With `like`, only those modules are replaced that are replaced in this model of the same architecture.
    """
    for name, module in list(model.named_modules()):
        if stacks_experts(module) and (like is None or isinstance(like.get_submodule(name), Experts)):
            put(model, name, Experts(module))


def stacks_experts(module: nn.Module) -> bool:
    """Return whether a module stacks experts, in a layout that transformers declares on it."""
    if not hasattr(module, "is_concatenated") or getattr(module, "has_post_expert_norm", False):
        return False
    own = {name for name, _ in module.named_parameters()}
    return "down_proj" in own and own <= STACKED


def experts_in(module: nn.Module) -> list[Experts]:
    """Return the layers of experts in a module."""
    return [one for one in module.modules() if isinstance(one, Experts)]


def chosen_of(model: PreTrainedModel) -> int:
    """Return the number of experts to which a router sends each token, by the model's configuration."""
    config = model.config.get_text_config()
    return next((value for name in CHOSEN if isinstance(value := getattr(config, name, None), int)), 1)


def routers_in(block: nn.Module) -> set[nn.Module]:
    """Return the linears of a block that choose or weigh experts.

    Those are the linears in a module named `router`, and those beside a layer of experts with an output for each.
    """
    named = [module for name, module in block.named_modules() if name.rpartition(".")[2] == "router"]
    found: set[nn.Module] = {one for router in named for one in router.modules() if isinstance(one, nn.Linear)}
    for parent in block.modules():
        for experts in parent.children():
            if number := _number(experts):
                beside = set(parent.modules()) - set(experts.modules())
                found |= {one for one in beside if isinstance(one, nn.Linear) and one.out_features in (number, 1)}
    return found


def _number(module: nn.Module) -> int:
    """Return the number of experts in a layer, also in one whose stacked tensors have an unknown layout; else 0."""
    if isinstance(module, Experts):
        return len(module)
    stacked = [len(tensor) for tensor in module.parameters(recurse=False) if tensor.dim() == 3]
    return stacked[0] if len(stacked) > 1 else 0  # a convolution has one


@contextmanager
def stacked_shapes(model: nn.Module) -> Iterator[dict[str, Experts]]:
    """Give the model the modules of its architecture inside the context, whose stacked tensors have no memory.

    Yields the replaced layers by name. A layer whose experts differ in shape keeps its linears.
    """
    replaced = {name: one for name, one in model.named_modules() if isinstance(one, Experts) and _are_alike(one)}
    try:
        for name, experts in replaced.items():
            for tensor in experts.fused._parameters:
                one = _joined(experts[0], experts.fused, tensor)
                empty = one.new_empty((len(experts), *one.shape), device="meta")
                experts.fused._parameters[tensor] = nn.Parameter(empty, requires_grad=False)
            put(model, name, experts.fused)
        yield replaced
    finally:
        for name, experts in replaced.items():
            put(model, name, experts)
            for tensor in experts.fused._parameters:
                experts.fused._parameters[tensor] = None


def stacked(experts: Experts) -> dict[str, Tensor]:
    """Return the tensors of a layer as its architecture stacks them, by name; each starts with the experts."""
    fused = experts.fused
    return {name: torch.stack([_joined(expert, fused, name) for expert in experts]) for name in fused._parameters}


def _are_alike(experts: Experts) -> bool:
    """Return whether the linears of all experts of a layer have the same shapes, and gate those of up."""
    kinds = {tuple((name, type(one), _shape(one)) for name, one in expert.named_children()) for expert in experts}
    [first, *others] = kinds
    linears = all(kind is nn.Linear for _, kind, _ in first)
    return not others and linears and len({shape for name, _, shape in first if name != "down_proj"}) == 1


def _shape(module: nn.Module) -> tuple[int, ...]:
    return next((tuple(tensor.shape) for tensor in module.parameters()), ())


def _joined(expert: nn.Module, fused: nn.Module, name: str) -> Tensor:
    """Return one expert's part of a stacked tensor."""
    base, kind = (name.removesuffix("_bias"), "bias") if name.endswith("_bias") else (name, "weight")

    def of(linear: str) -> Tensor:
        return expert.get_submodule(linear).get_parameter(kind).detach()

    if base == "gate_up_proj":
        gate, up = of("gate_proj"), of("up_proj")
        joined = gate.new_empty(2 * len(gate), *gate.shape[1:])  # (2 * channels, in), or (2 * channels,)
        for rows, half in zip(halves(fused, len(joined)), (gate, up), strict=True):
            joined[rows] = half
    else:
        joined = of(base)
    return joined.T if kind == "weight" and fused.is_transposed else joined
