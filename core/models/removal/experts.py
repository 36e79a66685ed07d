"""Removal of experts from a layer, and of their rows from its router, so that the architecture stays the same."""

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from core.base.errors import UserError
from core.models.modeling_slimscope import Experts
from core.models.parts.blocks import text_config
from core.models.parts.experts import chosen_of
from core.models.removal.units import recount

# Names that modules and configurations use for the number of experts.
COUNTS = ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts", "out_features")
GROUPS = ("num_group", "n_group")


def lowest_in_groups(scores: Tensor, count: int, groups: int) -> Tensor:
    """Return the kept experts, ascending, after the `count` with the lowest scores, as many from every group."""
    each = scores.view(groups, -1)  # (groups, experts of a group)
    kept = each.argsort(dim=1, stable=True)[:, count // groups :].sort(dim=1).values
    return (kept + torch.arange(groups)[:, None] * each.shape[1]).flatten()


def check_removal(model: PreTrainedModel, experts: int, count: int) -> None:
    """Raise `UserError` unless `count` of the `experts` of a layer can be removed, given what the routers choose."""
    if experts - count < (chosen := chosen_of(model)):
        raise UserError(
            f"The ratio leaves {experts - count} of {experts} experts in a layer, but the router sends each token to "
            f"{chosen}; give a smaller ratio."
        )


def groups_of(model: PreTrainedModel) -> int:
    """Return the number of groups of experts among which the routers choose first; 1 without groups."""
    return next((value for name in GROUPS if (value := getattr(text_config(model), name, None))), 1)


def keep_experts(experts: Experts, beside: nn.Module, kept: Tensor) -> None:
    """Keep the given experts of a layer in place, with their part of the router in `beside`, the layer's parent."""
    before = len(experts)
    remaining = [experts[number] for number in kept.tolist()]
    del experts[len(remaining) :]
    for place, expert in enumerate(remaining):
        experts[place] = expert
    for module in (beside, experts.fused, *_router_modules(experts, beside)):
        _slice(module, before, kept)
        for name in COUNTS:
            if getattr(module, name, None) == before:
                recount(module, (name,), len(kept))


def recount_experts(model: PreTrainedModel, before: int, after: int) -> None:
    """Set the number of experts in the configuration."""
    config = text_config(model)
    for name in COUNTS:
        if getattr(config, name, None) == before:
            setattr(config, name, after)


def _router_modules(experts: Experts, beside: nn.Module) -> list[nn.Module]:
    """Return the modules beside a layer of experts that belong to no other FFN, such as a shared expert."""
    found: list[nn.Module] = []
    for child in beside.children():
        if child is not experts and not any(name.endswith("down_proj") for name, _ in child.named_modules()):
            found += child.modules()
    return found


def _slice(module: nn.Module, before: int, kept: Tensor) -> None:
    """Keep the entries of the kept experts in the module's own tensors with one row, or one number, for each."""
    for name, tensor in [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]:
        axis = next((axis for axis, size in enumerate(tensor.shape[:2]) if size == before), None)
        if axis is None or (axis == 1 and len(tensor) != 1):
            continue
        cut = tensor.detach().index_select(axis, kept.to(tensor.device))
        if isinstance(tensor, nn.Parameter):
            cut = nn.Parameter(cut, tensor.requires_grad)
        setattr(module, name, cut)
