"""What each family of methods does on a tiny model of an architecture: it works, or refuses with a sentence."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING
from unittest.mock import patch

import torch
from torch import Tensor

from core.base.errors import UserError
from core.context import Context, StageInput
from core.engine.stages import apply
from core.models.facts import load_shape
from core.models.manifest import load_model_folder, save_model
from core.models.source import ModelSource
from core.models.sources import identify, load_model
from core.notation.chain import ChainDefaults, parse
from core.request.resolve import resolve_chain
from core.specs import TextWindows
from tools.architectures.models import VOCABULARY, random_model

if TYPE_CHECKING:
    from transformers import PreTrainedModel

# A chain of each column; the whole family works or refuses alike.
CHAINS = {
    "unstructured": ("wanda@0.5", "sparsegpt@0.5"),
    "quantisation": ("rtn@4bit,group_size=0", "gptq@4bit,group_size=0"),
    "low rank": ("svd-llm@0.5",),
    "reconstruction": ("wanda@0.5+adaprune",),
    "heads and channels": ("slimllm@0.25",),
    "attention rank": ("lorap@0.25",),
    "hidden entries": ("llm-pruner@0.25,granularity=channel",),
    "slices": ("slicegpt@0.25",),
    "rotation": ("rotate+rtn@4bit,group_size=0",),
    "blocks": ("shortgpt@0.5",),
    "experts": ("reap@0.2",),
    "embedding": ("embedding-lowrank@2x",),
}
SEQUENCES, LENGTH = 4, 24
NEAR = 1e-4  # largest difference of logits after saving and loading


@dataclass(frozen=True)
class Trial:
    """The outcome on one architecture: the share of block weights in linears, and the refusal of each column."""

    architecture: str
    covered: float
    refusals: dict[str, str | None]  # None: it works


def windows() -> Tensor:
    """Return random calibration sequences, (sequences, length)."""
    return torch.randint(VOCABULARY, (SEQUENCES, LENGTH), generator=torch.Generator().manual_seed(1))


def try_architecture(architecture: str) -> Trial:
    """Try a chain of each family on the checkpoint of a tiny model, loaded as a user's folder is.

    Saved and loaded again, the compressed model must compute the same.
    """
    with TemporaryDirectory() as place, patch.dict(os.environ, SLIMSCOPE_CACHE=place):
        folder = Path(place) / architecture.partition(" ")[0]
        random_model(architecture).save_pretrained(folder)
        source = identify(str(folder))
        covered = 1 - load_shape(source).uncovered_share
        return Trial(architecture, covered, {column: _refusal(source, chains) for column, chains in CHAINS.items()})


def _refusal(source: ModelSource, chains: tuple[str, ...]) -> str | None:
    """Return the sentence with which the first of some chains is refused; None if all work."""
    for chain in chains:
        try:
            model = load_model(source)
            compress(model, chain)
        except UserError as error:
            return str(error)
        check_saved(model, f"{source.id} {chain}")
    return None


def compress(model: PreTrainedModel, chain: str) -> None:
    """Apply a chain to a model in place, calibrated on `windows`."""
    text = TextWindows(corpus="c4-sample", windows=SEQUENCES, window=LENGTH)
    for stage in resolve_chain(parse(chain), ChainDefaults(text, None, 0)):
        apply(model, StageInput(stage, windows()), Context(torch.device("cpu")))


def check_saved(model: PreTrainedModel, name: str) -> None:
    """Save a compressed model and load it; raise `AssertionError` if the loaded one computes something else."""
    tokens = windows()
    with TemporaryDirectory() as folder, torch.no_grad():
        save_model(model, Path(folder))
        try:
            loaded = load_model_folder(Path(folder), torch.float32)
        except UserError as error:
            raise AssertionError(f"{name}: the saved model cannot be loaded: {error}") from error
        gap = (loaded(tokens).logits - model(tokens).logits).abs().max().item()
    assert gap <= NEAR, f"{name}: the saved model's logits differ by {gap}"
