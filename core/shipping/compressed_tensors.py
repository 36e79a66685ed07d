"""Export of a variant on a symmetric grid as packed codes for compressed-tensors (pack-quantized).

Servers such as vLLM read this format, too. transformers unpacks it to 16-bit or 32-bit weights.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from core.base.errors import UserError
from core.models.facts import config_of, load_shape
from core.models.inspection import inspected
from core.models.shape import is_known
from core.models.source import ModelSource
from core.results import Variant
from core.shipping import base
from core.shipping.base import Counted, Format, ProgressFn, Runtime, WrittenExport
from core.shipping.huggingface import OWN_CODE, loading
from core.specs import BYTES, PRECISIONS, Dtype, VariantSpec

if TYPE_CHECKING:
    from torch import Tensor, nn
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from core.models.parts.grids import Grid

SCALE = BYTES["float16"]
WORD = 32  # bits
NO_GRID = "compressed-tensors needs weights on a symmetric grid, such as gptq's, but {}; export it as {}."


class CompressedTensors(Format):
    """The pack-quantized format of compressed-tensors."""

    name = "compressed-tensors"
    label = "compressed-tensors"
    purpose = (
        "A folder of packed codes, for a variant on a symmetric grid, such as gptq's. transformers loads it with the "
        "compressed-tensors package."
    )
    library = "transformers"
    runtime = Runtime("in_transformers", ("transformers", "compressed-tensors"))
    types = PRECISIONS

    def default(self, variant: Variant | VariantSpec) -> Dtype:
        """Return the type in which servers multiply packed codes; in fp32 they refuse these, and the rest is larger."""
        return "bfloat16"

    def size(self, variant: Variant | VariantSpec, source: ModelSource, counted: Counted, kind: str) -> float:
        grid = base.last_grid(variant)
        bits = 8 * BYTES[kind] if grid is None else grid.bits
        rows = base.linear_rows(load_shape(source), counted)
        packed = bits / 8 * counted.block_weights + base.grid_bytes(grid, counted.block_weights, rows, SCALE)
        others = counted.model_parameters - counted.block_weights
        return packed + BYTES[kind] * others + base.tokenizer_bytes(source)

    def check(self, variant: Variant | VariantSpec, source: ModelSource) -> None:
        super().check(variant, source)
        config = config_of(source)
        if not is_known(config) and inspected(config).experts:
            raise UserError("compressed-tensors does not support mixtures of experts here; export it as huggingface.")
        grid = base.last_grid(variant)
        if grid is None:
            raise UserError(NO_GRID.format("no stage of this variant quantises them", "huggingface or gguf"))
        if grid.zeros:
            raise UserError(NO_GRID.format("the grid of this variant has zero points", "gguf"))

    def write(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        source: ModelSource,
        folder: Path,
        kind: str,
        progress: ProgressFn,
    ) -> WrittenExport:
        import torch

        from core.models.manifest import describing
        from core.models.parts.precision import check_holds

        grids = grids_of(model)
        check_holds(model, cast("Dtype", kind), "save as bf16 or fp32")
        parts: dict[str, Tensor] = {}
        for done, (name, (linear, grid)) in enumerate(grids.items()):
            progress(done, len(grids))
            weight = linear.weight.data.cpu()  # (out, in)
            parts |= {
                f"{name}.weight_packed": packed(grid.codes(weight.float()), grid.bits),
                f"{name}.weight_scale": grid.scale.half().contiguous(),  # exact: a grid's scales fit in 16 bits
                f"{name}.weight_shape": torch.tensor(weight.shape),
            }
        model.to(getattr(torch, kind))
        replaced = {f"{name}.weight" for name in grids}
        kept = {name: tensor for name, tensor in model.state_dict().items() if name not in replaced}
        with describing(model, folder) as plain:
            model.config.quantization_config = described(model, grids)
            model.save_pretrained(folder, state_dict=kept | parts)
        tokenizer.save_pretrained(folder)
        return WrittenExport(folder, loading(plain), () if plain else (OWN_CODE,))


Grids = dict[str, "tuple[nn.Linear, Grid]"]  # of linears by name


def grids_of(model: PreTrainedModel) -> Grids:
    """Return the linears on a grid, with their grids; raise `UserError` for a grid that the format lacks.

    An embedding is excluded, because it is written in full.
    """
    from torch import nn

    from core.models.parts.grids import grid_of

    found = {
        name: (module, grid)
        for name, module in model.named_modules()
        if (grid := grid_of(module)) is not None and not isinstance(module, nn.Embedding)
    }
    for name, (module, grid) in found.items():
        if grid.zero is not None:
            raise UserError(NO_GRID.format(f"the grid of {name} has zero points", "gguf"))
        if not isinstance(module, nn.Linear):
            raise UserError(NO_GRID.format(f"{name} is not an nn.Linear", "huggingface"))
    return cast("Grids", found)


def packed(codes: Tensor, bits: int) -> Tensor:
    """Pack signed codes (out, in) into int32 (out, words), from the lowest bit, across word boundaries.

    A code is stored as its distance from the lowest. 32 codes take as many words as they have bits.
    """
    import numpy as np
    import torch

    above = (codes + 2 ** (bits - 1)).numpy().astype(np.uint8)
    each = np.unpackbits(above[..., None], axis=-1, count=bits, bitorder="little").reshape(len(above), -1)
    whole = np.pad(each, ((0, 0), (0, -each.shape[1] % WORD)))
    return torch.from_numpy(np.packbits(whole, axis=-1, bitorder="little").view("<i4").astype(np.int32))


def described(model: PreTrainedModel, grids: Grids) -> dict[str, Any]:  # Any: JSON
    """Return the `quantization_config`: a group of linears for each kind of grid, and the linears without one."""
    from torch import nn

    kinds: dict[tuple[int, int], list[str]] = {}
    for name, (_, grid) in grids.items():
        kinds.setdefault((grid.bits, grid.group), []).append(name)
    others = [name for name, module in model.named_modules() if isinstance(module, nn.Linear) and name not in grids]
    groups = {
        f"group_{place}": {
            "targets": ["Linear"] if len(kinds) == 1 else names,
            "weights": {"num_bits": bits, "type": "int", "symmetric": True, "strategy": "group", "group_size": group},
        }
        for place, ((bits, group), names) in enumerate(kinds.items())
    }
    return {
        "quant_method": "compressed-tensors",
        "format": "pack-quantized",
        "quantization_status": "compressed",
        "ignore": others,
        "config_groups": groups,
    }
