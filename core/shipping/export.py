"""A variant written for others: in a format, with a card, and read by that format's own runtime before it is there."""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from core.cache.folders import on_disk
from core.errors import UserError
from core.progress import Progress
from core.results import Result
from core.shipping.base import Format
from core.shipping.card import card
from core.shipping.proof import FILE, ExportCheck, expected, verify_export

if TYPE_CHECKING:
    from transformers import PreTrainedModel

NO_TEXT = ExportCheck(reason="it reads no text, and prompts are what an export is proved by.")


def export(
    model: PreTrainedModel, tokenizer: Any, result: Result, folder: Path, form: Format, kind: str, progress: Progress
) -> None:
    """Write a variant in a type of a format to a new or empty folder, proved and with its card, all of it or nothing.

    The model itself may be brought to another precision; one that reads no text has no tokenizer. Raises `UserError`
    where the format cannot hold it, or the folder cannot be written.
    """
    form.check(result.variant)
    wanted = None if tokenizer is None else expected(model, tokenizer)
    told = f"{form.label} {form.type_name(kind)}"
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".unfinished-") as temporary:
            content = Path(temporary) / "content"
            content.mkdir()

            def tell(done: int, total: int) -> None:
                progress("save", done, total, told)

            tell(0, 1)
            made = form.write(model, tokenizer, result.variant, content, kind, tell)
            waiting = partial(progress, "prove", 0, 1, told)
            waiting()
            proof = NO_TEXT
            if wanted is not None:
                proof = verify_export(form.runtime, made.path, wanted, torch.get_num_threads(), waiting)
            (content / FILE).write_text(proof.model_dump_json(indent=2))
            (content / "README.md").write_text(card(result, form, kind, made, proof))
            on_disk(content)
            content.replace(folder)
    except OSError as error:
        raise UserError(f"The model could not be saved in {folder}: {error.strerror or error}.") from None
