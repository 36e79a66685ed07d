"""Export of a variant: files in a format, a card, and a check by the format's own runtime."""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from core.base.errors import UserError
from core.base.progress import Progress
from core.cache.folders import on_disk
from core.models.source import ModelSource
from core.results import Result
from core.shipping.base import Format
from core.shipping.card import card
from core.shipping.proof import FILE, ExportCheck, expected, verify_export

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

NO_TEXT = ExportCheck(reason="the model reads no text, and the check needs prompts.")


def share(folder: Path) -> None:
    """Give the files in a new folder the permissions of the umask, as safetensors lets only their owner read them."""
    mode = folder.stat().st_mode & 0o666
    for file in folder.rglob("*"):
        if file.is_file():
            file.chmod(mode)


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

    `form.check` has accepted the variant of the model in `source`. The precision of the model may change. A model that
    reads no text has no tokenizer. Raises `UserError` if the folder cannot be written.
    """
    readings = None if tokenizer is None else expected(model, tokenizer)
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
            proof = NO_TEXT
            if readings is not None:
                proof = verify_export(form.runtime, written.path, readings, torch.get_num_threads(), waiting)
            (content / FILE).write_text(proof.model_dump_json(indent=2))
            (content / "README.md").write_text(card(result, form, kind, written, proof))
            share(content)
            on_disk(content)
            content.replace(folder)
    except OSError as error:
        raise UserError(f"The model could not be saved in {folder}: {error.strerror or error}.") from None
