"""A variant as a checkpoint for others: weights, tokenizer, and a card that says what it is and what it measured."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from core.cache.kept import on_disk
from core.chain import DENSE, shared, written
from core.errors import UserError
from core.models.catalogue import BY_ID
from core.models.manifest import save_model
from core.models.parts.precision import check_holds
from core.registry import get_stage, spelt_out
from core.results import Measurement, Result
from core.specs import Dtype, Stage, precision_name
from core.training.base import Recovery
from core.words import amount, chain_name

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def save_checkpoint(model: PreTrainedModel, tokenizer: Any, result: Result, folder: Path, dtype: Dtype) -> None:
    """Write model, tokenizer, generation configuration and card to a new or empty folder, all of it or nothing.

    The model itself is brought to `dtype`. Raises `UserError` where a weight does not fit that, or the folder cannot be
    written.
    """
    check_holds(model, dtype, "save as bf16 or fp32")
    model.to(getattr(torch, dtype))
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".unfinished-") as temporary:
            content = Path(temporary) / "content"
            content.mkdir()
            plain = save_model(model, content)
            tokenizer.save_pretrained(content)
            (content / "README.md").write_text(card(result, plain, dtype))
            on_disk(content)
            content.replace(folder)
    except OSError as error:
        raise UserError(f"The model could not be saved in {folder}: {error.strerror or error}.") from None


def card(result: Result, plain: bool, dtype: Dtype) -> str:
    """Return the model card: how it was made, what it measured, whom to cite, how to load it."""
    variant, known = result.variant, BY_ID.get(result.variant.model)
    found = {stage.method: get_stage(stage.method) for stage in variant.stages}  # each once, in order
    papers = dict.fromkeys(method.citation for method in found.values() if method.citation)
    beside = shared(variant.stages)
    texts = [f"calibration text `{beside.calibration}`" if beside.calibration else None]
    texts += [f"training text `{beside.train}`" if beside.train else None]
    texts += [f"seed {beside.seed}" if beside.seed is not None else None]
    lines = [
        "---",
        f"license: {known.licence.lower() if known else 'other'}",
        "library_name: transformers",
        "---",
        f"# {variant.model}, {chain_name(variant.stages)}",
        "",
        *dict.fromkeys(method.summary for method in found.values()),
        "",
        f"Made by Slimscope from `{variant.model}` ({variant.revision}) by the chain `{written(variant.stages)}`"
        f"{''.join(f', {text}' for text in texts if text)}. Key `{variant.key}`.",
        "",
        *(f"{place}. {_told(stage)}" for place, stage in enumerate(variant.stages, 1)),
        "",
        f"{result.counted.model_removed:.1%} of the model's parameters are zero or gone; "
        f"{result.counted.model_parameters:,} are stored, in {precision_name(dtype)}.",
        "",
        "```python",
        "from transformers import AutoModelForCausalLM, AutoTokenizer",
        f'model = AutoModelForCausalLM.from_pretrained("FOLDER"{"" if plain else ", trust_remote_code=True"})',
        'tokenizer = AutoTokenizer.from_pretrained("FOLDER")',
        "```",
        "",
        "" if plain else "`modeling_slimscope.py` beside the weights builds blocks that no plain configuration has.",
        "",
        "| metric | data | protocol | value |",
        "| --- | --- | --- | --- |",
        *(f"| {row.metric} | {row.dataset} | {_protocol(row)} | {_value(row)} |" for row in result.measurements),
        "",
        *(f"Method: {paper.authors}, {paper.title}, {paper.year}, {paper.url}" for paper in papers),
    ]
    return "\n".join(lines) + "\n"


def _told(stage: Stage) -> str:
    """Return the sentence on a stage."""
    method = get_stage(stage.method)
    if stage.method == DENSE:
        return f"{method.label}: as it is."
    if stage.removes:
        done = f"compressed, {amount(stage.ratio, stage.pattern)}"
    else:
        done = "trained" if issubclass(method, Recovery) else "reconstructed"
    parts = [f"{method.label}: {done}"]
    if stage.layers:
        parts.append(f"layers {stage.layers}")
    if stage.calibration:
        parts.append(f"on `{stage.calibration}`, seed {stage.seed}")
    return f"{', '.join(parts)}; parameters {spelt_out(stage)}."


def _protocol(row: Measurement) -> str:
    return ", ".join(f"{name} {value}" for name, value in row.protocol.items() if value is not None)


def _value(row: Measurement) -> str:
    return f"{row.value:.4g}" + (f" ± {row.stderr:.2g}" if row.stderr is not None else "")
