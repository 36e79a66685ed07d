"""Operations on tensors of the pretend device and of the CPU."""

import copy

import torch
from safetensors.torch import load, save
from torch import nn
from torch.nn.functional import embedding

from core.amount import Ratio
from core.models.parts.blocks import find_blocks
from core.models.parts.constraints import constraint_of
from core.request.stages import build_stage
from tests.core.engine.applied import CALIBRATION, compress
from tests.core.tiny import tiny, windows
from tests.device.pretend import NAME


def outcome(work):
    """Return the device of a result, the result that is no tensor, or the type of the error."""
    try:
        found = work()
    except (RuntimeError, TypeError) as error:
        return type(error).__name__
    return found.device.type if isinstance(found, torch.Tensor) else found


def refused():
    """Return the outcomes of operations that a GPU refuses, too."""
    here = torch.arange(6.0).view(2, 3)
    there, index, mask = here.to(NAME), torch.tensor([1]), here > 2
    works = {
        "sum": lambda: there + here,
        "sum in place": lambda: here.clone().add_(there),
        "sum into a number": lambda: torch.tensor(1.0).add_(there.sum()),
        "product": lambda: there @ here.T,
        "choice": lambda: torch.where(mask, there, there),
        "mask": lambda: there.masked_fill(mask, 0),
        "rows": lambda: there.index_select(0, index),
        "embedding": lambda: embedding(index, there),
        "values": lambda: there.index_put((index,), here[:1]),
        "list": lambda: torch.cat([here, there]),
        "index there": lambda: here[index.to(NAME)],
        "generator": lambda: torch.rand(2, generator=torch.Generator(), device=NAME),
        "numpy": lambda: there.numpy(),
    }
    return {name: outcome(work) for name, work in works.items()}


def allowed():
    """Return the outcomes of operations that a GPU allows, too."""
    here = torch.arange(6.0).view(2, 3)
    there, index = here.to(NAME), torch.tensor([1])
    works = {
        "number": lambda: there + torch.tensor(2.0),
        "index": lambda: there[index],
        "mask as index": lambda: there[here > 2],
        "copy": lambda: here.clone().copy_(there),
        "copy there": lambda: there.clone().copy_(here),
        "cpu": lambda: there.cpu(),
        "new": lambda: torch.zeros(2, device=NAME),
        "deep copy": lambda: copy.deepcopy(there),
        "view": lambda: there.T[1:],
        "item": lambda: there.sum().item(),
        "list": lambda: there.tolist(),
        "saved": lambda: load(save({"a": there}))["a"].tolist(),
        "empty result": lambda: torch.add(there, there, out=torch.empty(0, device=NAME)),
    }
    return {name: outcome(work) for name, work in works.items()}


def places_of_parts():
    """Return where the weights of a pruned and quantised model are, and their constraints and grids."""
    model = tiny()
    stage = build_stage("sparsegpt", Ratio(0.5), {"bits": 4, "group_size": 16}, CALIBRATION)
    compress(model, stage, windows(), NAME)
    parts = [
        (one.weight, constraint_of(one.module).bits, one.module.grid.scale) for one in find_blocks(model).all_linears()
    ]
    return {tensor.device.type for part in parts for tensor in part}


def trained():
    """Return the weights of two equal modules with a shared parameter, trained on the CPU and on the device."""
    torch.manual_seed(0)
    first, last = nn.Linear(4, 4), nn.Linear(4, 4)
    last.weight = first.weight
    model, inputs = nn.Sequential(first, nn.GELU(), last), torch.randn(3, 4)
    found = []
    for device in ("cpu", NAME):
        own = copy.deepcopy(model)
        weight = own[0].weight
        own.to(device)
        optimiser = torch.optim.AdamW(own.parameters(), lr=0.1)
        for _ in range(3):
            own(inputs.to(device)).square().mean().backward()
            optimiser.step()
            optimiser.zero_grad()
        assert own[0].weight is own[2].weight is weight and weight.device.type == device
        found.append(own.to("cpu")[0].weight.tolist())
    return found
