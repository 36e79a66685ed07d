"""Export of a variant: files in a format, a card, and a check by the format's own runtime."""

from __future__ import annotations

import shlex
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from core.base.errors import UserError
from core.base.progress import Progress
from core.cache.folders import on_disk
from core.models.catalogue import BY_ID
from core.models.source import ModelSource
from core.notation.chain import DENSE, common_defaults, format_chain, run_command
from core.notation.formatting import chain_name, format_amount
from core.notation.removal import bits_words, embedding_words, model_share, uncovered_words
from core.registry import all_parameters, get_stage
from core.results import Measurement, Result
from core.shipping.base import Format, WrittenExport
from core.shipping.proof import FILE, ExportCheck, expected, verify_export
from core.specs import Stage

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

EFFECTS = {"reconstruction": "reconstructed", "recovery": "fine-tuned", "runtime": "changed at run time"}  # by family


def card(result: Result, form: Format, kind: str, made: WrittenExport, proof: ExportCheck) -> str:
    """Return the model card of an export, in a type of a format."""
    name = form.type_name(kind)
    checked = [proof.words(), form.usual_words(kind) if proof.reason is None else ""]
    variant, known = result.variant, BY_ID.get(result.variant.model)
    methods = {stage.method: get_stage(stage.method) for stage in variant.stages}  # each once, in order
    papers = dict.fromkeys(method.citation for method in methods.values() if method.citation)
    defaults = common_defaults(variant.stages)
    texts = [f"calibration data `{defaults.calibration}`" if defaults.calibration else None]
    texts += [f"training data `{defaults.train}`" if defaults.train else None]
    texts += [f"seed {defaults.seed}" if defaults.seed is not None else None]
    sizes = [f"{_size(result)}; {result.counted.model_parameters:,} parameters are stored, in {name}."]
    sizes += filter(None, [uncovered_words(result), embedding_words(result)])
    command = [*run_command(variant, variant), "--save", "FOLDER", "--format", form.name, "--type", name]
    other = ""  # if the files store another type than was computed in
    if kind != variant.dtype:
        other = f"The numbers below are those of the variant computed in {variant.dtype}, not of these files in {name}."
        other += " `slimscope fidelity DENSE FOLDER` measures the files."
    table = ["| metric | data | protocol | value |", "| --- | --- | --- | --- |"]
    table += [f"| {row.metric} | {row.dataset} | {_protocol(row)} | {_value(row)} |" for row in result.measurements]
    licence = known.licence.lower() if known else "other"
    blocks = [
        f"---\nlicense: {licence}\nlibrary_name: {form.library}\n---\n# {variant.model}, {chain_name(variant.stages)}",
        "\n".join(dict.fromkeys(method.summary for method in methods.values())),
        f"Created by Slimscope from `{variant.model}` ({variant.revision}) with the chain "
        f"`{format_chain(variant.stages)}`{''.join(f', {text}' for text in texts if text)}. Key `{variant.key}`.",
        "\n".join(f"{place}. {_stage_sentence(stage)}" for place, stage in enumerate(variant.stages, 1)),
        "\n".join(sizes),
        "\n".join(made.notes),
        f"Load it with:\n\n```python\n{made.loading}\n```",
        f"Reproduce it with:\n\n```\n{shlex.join(command)}\n```",
        " ".join(filter(None, checked)),
        other,
        "\n".join(table),
    ]
    cited = [f"Method: {paper.authors}, {paper.title}, {paper.year}, {paper.url}\n" for paper in papers]
    return "".join([*(f"{block}\n\n" for block in blocks if block), *cited])


def _size(result: Result) -> str:
    """Return the removed share of the model and the bits per weight of quantised parts, in words."""
    removed = model_share(result)
    parts = [] if removed is None else [f"{100 * removed:.1f} % of the model's parameters are zero or removed"]
    return "; ".join([*parts, *bits_words(result)])


def _stage_sentence(stage: Stage) -> str:
    """Return the sentence on a stage."""
    method = get_stage(stage.method)
    if stage.method == DENSE:
        return f"{method.label}: uncompressed."
    effect = "transformed" if "rotation" in method.leaves else EFFECTS.get(method.family, "compressed")
    parts = [f"{method.label}: {effect}"]
    if stage.removes:
        parts.append(format_amount(stage.amount))
    if stage.layers:
        parts.append(f"layers {stage.layers}")
    if stage.calibration:
        parts.append(f"on `{stage.calibration}`, seed {stage.seed}")
    return f"{', '.join(parts)}; parameters {all_parameters(stage)}."


def _protocol(row: Measurement) -> str:
    return ", ".join(f"{name} {value}" for name, value in row.protocol.items() if value is not None)


def _value(row: Measurement) -> str:
    return f"{row.value:.4g}" + (f" ± {row.stderr:.2g}" if row.stderr is not None else "")


def export(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    result: Result,
    source: ModelSource,
    folder: Path,
    form: Format,
    kind: str,
    progress: Progress,
) -> None:
    """Write a variant in a type of a format to a new or empty folder, with export check and card, or nothing.

    `form.check` has accepted the variant of the model in `source`. The precision of the model may change. Raises
    `UserError` if the folder cannot be written.
    """
    readings = expected(model, tokenizer)
    label = f"{form.label} {form.type_name(kind)}"
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".unfinished-") as temporary:
            content = Path(temporary) / "content"
            content.mkdir()

            def report(done: int, total: int) -> None:
                progress("save", done, total, label)

            report(0, 1)
            written = form.write(model, tokenizer, source, content, kind, report)
            waiting = partial(progress, "prove", 0, 1, label)
            waiting()
            proof = verify_export(form.runtime, written.path, readings, torch.get_num_threads(), waiting)
            (content / FILE).write_text(proof.model_dump_json(indent=2))
            (content / "README.md").write_text(card(result, form, kind, written, proof))
            mode = content.stat().st_mode & 0o666  # of the umask, as safetensors lets only their owner read its files
            for file in content.rglob("*"):
                if file.is_file():
                    file.chmod(mode)
            on_disk(content)
            content.replace(folder)
    except OSError as error:
        raise UserError(f"The model could not be saved in {folder}: {error.strerror or error}.") from None
