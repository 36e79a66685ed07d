"""Export of any variant as safetensors for transformers, with its own module if the shapes need one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

from core.models.facts import load_shape
from core.models.source import ModelSource
from core.registry import leaves
from core.results import Variant
from core.shipping import base
from core.shipping.base import Counted, Format, ProgressFn, Runtime, WrittenExport
from core.specs import BYTES, PRECISIONS, Dtype, VariantSpec

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

GRID = BYTES["float32"]  # of a scale or a zero point in the file of the grids
OWN_CODE = "`modeling_slimscope.py` in the folder builds the modules that no plain configuration describes."


class HuggingFace(Format):
    """A folder that transformers loads."""

    name = "huggingface"
    label = "Hugging Face"
    purpose = "A folder of safetensors that transformers loads, for any chain. Zeros take the space of other weights."
    library = "transformers"
    runtime = Runtime("in_transformers", ("transformers",))
    types = PRECISIONS

    def size(self, variant: Variant | VariantSpec, source: ModelSource, counted: Counted, kind: str) -> float:
        blocks, others = counted.block_weights, counted.model_parameters - counted.block_weights
        masked = any("zeros" in leaves(stage) for stage in variant.stages)
        shape = load_shape(source)
        grids = base.grid_bytes(base.last_grid(variant), blocks, base.linear_rows(shape, counted), GRID)
        grids += base.grid_bytes(base.last_grid(variant, "table grid"), others, shape.tables * shape.vocabulary, GRID)
        return BYTES[kind] * counted.model_parameters + masked * blocks / 8 + grids + base.tokenizer_bytes(source)

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

        from core.models.manifest import save_model
        from core.models.parts.precision import check_holds

        check_holds(model, cast("Dtype", kind), "save as bf16 or fp32")
        model.to(getattr(torch, kind))
        plain = save_model(model, folder)
        tokenizer.save_pretrained(folder)
        return WrittenExport(folder, loading(plain), () if plain else (OWN_CODE,))


def loading(plain: bool) -> str:
    """Return Python that loads a folder; a model that is not plain runs its own code."""
    more = "" if plain else ", trust_remote_code=True"
    model = f'model = AutoModelForCausalLM.from_pretrained("FOLDER"{more})'
    reader = 'tokenizer = AutoTokenizer.from_pretrained("FOLDER")'
    return f"from transformers import AutoModelForCausalLM, AutoTokenizer\n{model}\n{reader}"
