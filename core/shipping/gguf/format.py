"""Export of a Llama or Gemma 3 model as one GGUF file, for llama.cpp and programs built on it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from core.base.errors import UserError
from core.methods.terms import Trait
from core.models.facts import config_of, load_shape
from core.models.shape import ModelShape
from core.models.source import ModelSource
from core.registry import get_stage, leaves
from core.results import Variant
from core.shipping.base import Counted, Format, ProgressFn, Runtime, WrittenExport, hidden_width, last_grid
from core.shipping.gguf import support
from core.shipping.gguf.support import F16, Q8, exact_type, type_for
from core.shipping.gguf.tokenizer import vocabulary_bytes
from core.specs import VariantSpec

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

LOADING = """import xllamacpp

wanted = xllamacpp.CommonParams()
wanted.model.path = "FOLDER/{file}"
wanted.fit_params = False

request = {{"prompt": "The capital of Germany is", "max_tokens": 8, "temperature": 0}}  # the likeliest tokens
answer = xllamacpp.Server(wanted).handle_completions(request)"""
# The smallest and largest difference of export checks, over the chains of the default model in docs/export.md.
USUAL = {F16: (0.0058, 0.011), Q8: (0.18, 0.32), "Q4_0": (0.33, 5.7)}

OTHER = "export it as huggingface, or use a method that removes heads and channels or quantises weights"
REMEDIES: Mapping[Trait, str] = {
    "factors": OTHER,
    "basis": OTHER,
    "embedding": "export it as huggingface, or quantise the embedding, as rtn@8bit,on=embedding does",
}


class GGUF(Format):
    """The file format of llama.cpp."""

    name = "gguf"
    label = "GGUF"
    purpose = (
        "One file for llama.cpp and programs built on it, which are fast on a CPU. Blocks of a Llama model may differ "
        "in size; those of a Gemma 3 may not."
    )
    library = "gguf"
    program = "llama.cpp"
    runtime = Runtime("in_llama_cpp", ("xllamacpp",))
    types = {kind: kind for kind in support.TYPES}
    accepts = Format.accepts - REMEDIES.keys()
    remedies = REMEDIES

    def usual_words(self, kind: str) -> str:
        if kind not in USUAL:
            return f"No usual difference of log-probabilities was measured for {kind}."
        low, high = USUAL[kind]
        return f"Log-probabilities in {kind} differed by {low:g} to {high:g} in four exports of the default model."

    def default(self, variant: Variant | VariantSpec) -> str:
        """Return the type whose blocks store the codes of a variant's grid, or else F16."""
        grid = last_grid(variant)
        if grid is None or not grid.group or exact_type(grid.bits, grid.group, False, Q8) is None:
            return F16
        return "Q4_0" if grid.bits in range(support.BITS["Q4_0"] + 1) else Q8  # some may exceed a mean

    def size(self, variant: Variant | VariantSpec, source: ModelSource, counted: Counted, kind: str) -> float:
        shape, grid, table = load_shape(source), last_grid(variant), last_grid(variant, "table grid")
        linears = (exact_type(*grid, kind) if grid else None) or kind
        own = (exact_type(*table, kind) or exact_type(*table, support.table_type(kind))) if table else None
        hidden = hidden_width(variant, shape, counted)
        tables = own or type_for(hidden, support.table_type(kind))
        weights = shape.tables * shape.vocabulary * hidden
        vectors = counted.model_parameters - counted.block_weights - weights  # norms and biases
        narrow = _share_of_readers(shape) if type_for(hidden, linears) != linears else 0.0
        each = narrow * support.bits_per_weight(F16) + (1 - narrow) * support.bits_per_weight(linears)
        bits = each * counted.block_weights + support.bits_per_weight(tables) * weights + support.F32_BITS * vectors
        return bits / 8 + vocabulary_bytes(source, shape.vocabulary)

    def check(self, variant: Variant | VariantSpec, source: ModelSource) -> None:
        super().check(variant, source)
        config = config_of(source)
        support.architecture_of(config)
        rotations = [stage for stage in variant.stages if "rotation" in leaves(stage)]
        if rotations and config.get("tie_word_embeddings"):
            raise UserError(
                f"GGUF does not support {get_stage(rotations[0].method).label} on a model whose embedding is tied to "
                "the head; export it as huggingface."
            )

    def write(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        source: ModelSource,
        folder: Path,
        kind: str,
        progress: ProgressFn,
    ) -> WrittenExport:
        from core.models.parts.precision import check_holds
        from core.shipping.gguf.tensors import check_known, write_gguf

        architecture = support.architecture_of(model.config.to_dict())
        check_known(model, architecture)
        check_holds(model, "float16", "export it as huggingface in bf16 or fp32")
        file = f"model-{kind}.gguf"
        notes = write_gguf(model, architecture, tokenizer, source.id, folder / file, kind, progress)
        return WrittenExport(folder / file, LOADING.format(file=file), notes)


def _share_of_readers(shape: ModelShape) -> float:
    """Return the share of the block weights in matrices that read the hidden states; of square ones half do."""
    read = (
        rows * columns * count * (0.5 if rows == columns else columns == shape.hidden)
        for rows, columns, count in shape.matrices
    )
    return sum(read) / shape.block_weights
