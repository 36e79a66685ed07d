"""Runs and single operations on the CPU and on the pretend device, in a process of their own."""

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

from tests.device import pretend

DEVICES = ("cpu", pretend.NAME)
MEASURED_TIME = "synthetic"  # the data set of latencies


def start(folder: Path) -> None:
    """Register the device, and compute in a folder with models, a text and a package of methods from now on."""
    pretend.register()
    sys.path.insert(0, str(folder))  # before the methods are registered
    os.chdir(folder)
    os.environ.update(SLIMSCOPE_DATA=str(folder / "data"), DISABLE_MULTIPROC="1", HF_HUB_OFFLINE="1")
    os.environ.pop("SLIMSCOPE_DB", None)

    from core.base import paths
    from core.models.parts import blocks, products
    from core.request import complete

    paths.SHIPPED_MEASURED = folder / "none"
    complete.check_device = blocks.check_available = lambda device: None  # users choose among real ones
    # On both devices torch's own kernels compute linears and attention.
    products._suits = lambda *_: False
    torch.backends.cuda.enable_flash_sdp(False)


def on_both(model: str, chain: str, **more: Any) -> list[dict[str, float]]:
    """Return the `numbers` of a run on the CPU and on the pretend device."""
    return [numbers(device, model, chain, **more) for device in DEVICES]


def numbers(device: str, model: str, chain: str, save: str | None = None, **more: Any) -> dict[str, float]:
    """Return the measured values of a run, and the sum of each tensor of its weights; times count 0.

    Args:
        device: Where to compute.
        model: Its folder.
        chain: The stages.
        save: Format in which the variant is saved, if it is.
        more: Arguments of `complete`.
    """
    from core.engine.runs import run
    from core.engine.variants import load_cached
    from core.request.complete import complete
    from core.request.settings import RunSettings
    from core.specs import Perplexity, TextWindows
    from core.store.store import Store

    place = Path(tempfile.mkdtemp(dir="."))
    os.environ.update(SLIMSCOPE_CACHE=str(place / "cache"), SLIMSCOPE_RESULTS=str(place / "results"))
    texts = {"calibration": TextWindows.parse("text.txt:4x32"), "train": TextWindows.parse("text.txt:8x16")}
    more["perplexity"] = [Perplexity.parse("text.txt@32:4")]
    spec = complete(f"./{model}", chain, RunSettings(device=device, **texts, **more))
    if save:
        spec = spec.model_copy(update={"save": str(place / "saved"), "format": save})
    values = {
        f"{row.metric} {row.dataset} {row.protocol}": 0.0 if row.dataset == MEASURED_TIME else row.value
        for row in run(spec, Store()).measurements
    }
    if spec.variant.is_dense:  # which is never cached
        return values
    made, _ = load_cached(spec.variant, mapped=spec.memory is not None)
    return values | {name: tensor.double().sum().item() for name, tensor in made.state_dict().items()}


def outcome(work):
    """Return the device of a result, the result that is no tensor, or the type of the error."""
    try:
        found = work()
    except (RuntimeError, TypeError) as error:
        return type(error).__name__
    return found.device.type if isinstance(found, torch.Tensor) else found


def mixed():
    """Return the outcomes of operations that a GPU refuses or allows, too."""
    here = torch.arange(6.0).view(2, 3)
    there, index = here.to(pretend.NAME), torch.tensor([1])
    works = {
        "sum": lambda: there + here,
        "sum in place": lambda: here.clone().add_(there),
        "rows": lambda: there.index_select(0, index),
        "list": lambda: torch.cat([here, there]),
        "generator": lambda: torch.rand(2, generator=torch.Generator(), device=pretend.NAME),
        "numpy": lambda: there.numpy(),
        "number": lambda: there + torch.tensor(2.0),
        "index": lambda: there[index],
        "copy": lambda: here.clone().copy_(there),
        "item": lambda: there.sum().item(),
    }
    return {name: outcome(work) for name, work in works.items()}


def places_of_parts():
    """Return where the weights of a pruned and quantised model are, and their constraints and grids."""
    from core.amount import Ratio
    from core.models.parts.blocks import find_blocks
    from core.models.parts.constraints import constraint_of
    from core.request.stages import build_stage
    from tests.core.engine.applied import CALIBRATION, compress
    from tests.core.tiny import tiny, windows

    model = tiny()
    stage = build_stage("sparsegpt", Ratio(0.5), {"bits": 4, "group_size": 16}, CALIBRATION)
    compress(model, stage, windows(), pretend.NAME)
    parts = [
        (one.weight, constraint_of(one.module).bits, one.module.grid.scale) for one in find_blocks(model).all_linears()
    ]
    return {tensor.device.type for part in parts for tensor in part}
