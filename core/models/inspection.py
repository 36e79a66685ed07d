"""What a model of any architecture has, found by building it without memory for its weights.

Run as a program, it reads a configuration from its input and prints what it found, so that its caller imports no torch.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING

from core.base.errors import UserError
from core.base.paths import cache_dir
from core.cache.folders import cached_file
from core.models.shape import Config, ModelShape, check_sizes
from core.specs import Frozen, canonical_json, sha256

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from core.models.parts.blocks import Blocks
    from core.models.removal.units import Units

VERSION = 2  # of the meaning of an inspection
# Names of the number of positions in configurations; a model without one has no limit.
POSITIONS = (
    "max_position_embeddings",
    "n_positions",
    "max_seq_len",
    "max_sequence_length",
    "seq_length",
    "context_length",
)
NO_LIMIT = 2**20


class Inspection(Frozen):
    """What a configuration describes, and which parts of the model cannot be removed."""

    architecture: str  # class of transformers
    shape: ModelShape
    tied: bool  # whether the head is the embedding
    experts: tuple[int, int] | None  # in a layer, and for each token; None: no mixture
    uncovered: tuple[str, ...]  # names of weights that are in no linear, without the indices of blocks and experts
    units_refusal: str | None  # why blocks are not of heads and channels, as structured methods need; None: they are
    heads_refusal: str | None  # the same, or why heads cannot be removed; None: they can
    slices_refusal: str | None  # the same, or why hidden states cannot be sliced, as far as the structure tells
    rotation_refusal: str | None  # the same, or why they cannot be rotated

    @property
    def stacked(self) -> bool:
        """Whether the model has experts in a layout that is not taken apart, so that they stay dense."""
        return self.experts is None and any(".experts." in name for name in self.uncovered)


def inspected(config: Config) -> Inspection:
    """Return what a configuration describes, from the user cache or found in another process.

    Raises `UserError` for an invalid size, or with transformers' reason if the model cannot be built.
    """
    check_sizes(config)
    text = canonical_json(config)

    def find() -> bytes:
        if "torch" in sys.modules:
            return inspect(config).model_dump_json().encode()
        done = subprocess.run([sys.executable, "-m", __name__], input=text.encode(), capture_output=True, check=False)
        if done.returncode:
            raise UserError(done.stderr.decode(errors="replace").strip().splitlines()[-1])
        return done.stdout

    # Another version with other fields finds them again.
    key = sha256(str(VERSION), canonical_json(Inspection.model_json_schema()), text)
    return Inspection.model_validate_json(cached_file(cache_dir() / "inspections" / key, find))


def inspect(config: Config) -> Inspection:
    """Return what a configuration describes; raise `UserError` if transformers cannot build the model."""
    from core.models.parts.blocks import find_blocks
    from core.models.parts.experts import chosen_of, experts_in
    from core.models.removal.stream import block_submodules, rotatable_table
    from core.models.removal.units import check_channels, check_heads

    model = weightless(config, f"this {config.get('model_type', 'unnamed')} model")
    blocks = find_blocks(model)

    def check_slices(units: Units) -> None:
        block_submodules(blocks.holder[units.block], units)

    def check_rotation(units: Units) -> None:
        rotatable_table(model, blocks, block_submodules(blocks.holder[units.block], units))

    layers = experts_in(blocks.holder)
    tied = model.get_input_embeddings().weight is model.get_output_embeddings().weight
    return Inspection(
        architecture=type(model).__name__,
        shape=_shape(model, blocks, tied),
        tied=tied,
        experts=(len(layers[0]), chosen_of(model)) if layers else None,
        uncovered=tuple(dict.fromkeys(re.sub(r"\.\d+\.", ".*.", name) for name in blocks.uncovered)),
        units_refusal=_refusal(blocks, check_channels),
        heads_refusal=_refusal(blocks, check_heads),
        slices_refusal=_refusal(blocks, check_slices),
        rotation_refusal=_refusal(blocks, check_rotation),
    )


def weightless(config: Config, name: str) -> PreTrainedModel:
    """Return the language model of a configuration without memory for its weights, and with separate experts.

    Raises `UserError`, which says `name`, if transformers cannot build it.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    from core.models.loading import sentences
    from core.models.parts.experts import separate_experts

    with sentences(f"The configuration of {name} describes no causal language model"), torch.device("meta"):
        model: PreTrainedModel = AutoModelForCausalLM.from_config(AutoConfig.for_model(**config))
    separate_experts(model)
    return model


def _shape(model: PreTrainedModel, blocks: Blocks, tied: bool) -> ModelShape:
    from core.models.parts.blocks import text_config
    from core.models.parts.sizes import active_weights

    linears, fields = list(blocks.all_linears()), text_config(model)
    tokens, width = model.get_input_embeddings().get_parameter("weight").shape
    return ModelShape(
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        block_weights=sum(linear.weight.numel() for linear in linears),
        active_weights=active_weights(model),
        uncovered=sum(blocks.uncovered.values()),
        blocks=len(blocks.holder),
        hidden=width,
        ffn=max((linear.shape[1] for linear in linears if linear.role == "down"), default=width),
        vocabulary=tokens,
        max_window=next((value for name in POSITIONS if (value := getattr(fields, name, None))), NO_LIMIT),
        widths=tuple(sorted({linear.shape[1] for linear in linears})),
        matrices=tuple((*shape, count) for shape, count in Counter(linear.shape for linear in linears).items()),
        tables=2 - tied,
    )


def _refusal(blocks: Blocks, check: Callable[[Units], None]) -> str | None:
    """Return the sentence with which the units of a block are refused; None if those of all blocks pass."""
    from core.models.removal.projections import separate_outputs
    from core.models.removal.units import find_units

    try:
        for index in range(len(blocks.holder)):
            separate_outputs(blocks, index)
            check(find_units(blocks, index))
    except UserError as error:
        return str(error)
    return None


if __name__ == "__main__":
    import json

    try:
        print(inspect(json.load(sys.stdin)).model_dump_json())
    except UserError as error:
        sys.exit(str(error))
