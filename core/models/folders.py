"""Checks of a Hugging Face model folder.

A folder needs a readable `config.json`, of a causal LM, and all weights.
"""

import json
import os
import re
from pathlib import Path

from core.base.errors import UserError, echo
from core.base.paths import check_regular
from core.models.shape import Config, check_depth


def read_json(path: Path, name: str) -> Config:
    """Return the JSON object in a file of the model `name`; raise `UserError` if there is none."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"), object_hook=_number)
        json.dumps(content, ensure_ascii=False).encode()  # no half of a surrogate pair, which no file or key can hold
    except (ValueError, RecursionError):
        raise UserError(f"{name}: {path} is not readable JSON.") from None
    except OSError as error:
        raise UserError(f"{name}: {path} cannot be read: {error.strerror}.") from None
    if not isinstance(content, dict):
        raise UserError(f"{name}: {path} contains no JSON object.")
    return content


def _number(content: Config) -> Config | float:
    """Return the number that transformers writes as `{"__float__": "Infinity"}`, as JSON has none; others unchanged."""
    tag = content.get("__float__") if len(content) == 1 else None
    return float(tag) if tag in ("Infinity", "-Infinity", "NaN") else content


def check_files(folder: Path) -> None:
    """Raise `UserError` if a file of a model is a pipe or a device, which a loader would read without end."""
    # Which of these files a loader reads depends on the model.
    for file in (*folder.glob("*"), *folder.glob("additional_chat_templates/*")):
        check_regular(file)


def read_config(folder: Path, name: str) -> Config:
    """Return the configuration of a causal LM; raise `UserError` if the folder has none."""
    check_files(folder)
    path = folder / "config.json"
    if not os.path.isfile(path):
        raise UserError(f"{name}: {folder} has no config.json, so it is not a Hugging Face model folder.")
    config = read_json(path, name)
    kinds = config.get("architectures") or []
    if not isinstance(kinds, list) or not all(isinstance(kind, str) and kind for kind in kinds):
        raise UserError(f"{name}: 'architectures' in {path} is {echo(kinds)}, not a list of names.")
    check_depth(config)
    check_language_model(config, name)
    return config


def check_dense(config: Config, name: str) -> None:
    """Raise `UserError` for a model that cannot be compressed, because only its own code or a quantiser builds it."""
    if "slimscope" in config:
        raise UserError(
            f"{name} is a compressed model that only its own code can build; give the model it was compressed from."
        )
    if is_quantised(config):
        raise UserError(f"{name} is already quantised; give the 16-bit or 32-bit model.")


def is_quantised(config: Config) -> bool:
    """Return whether the weights of a model are stored as codes."""
    return "quantization_config" in config


def check_language_model(config: Config, name: str) -> None:
    """Raise `UserError` if the architecture of a model is named and no causal LM."""
    kinds = config.get("architectures")
    if isinstance(kinds, list) and kinds and not any(is_causal(str(kind)) for kind in kinds):
        raise UserError(f"{name} is a {kinds[0]}, not a causal language model; only these can be compressed.")


def is_causal(architecture: str) -> bool:
    """Return whether an architecture is a causal LM, by its name."""
    return re.search(r"(ForCausalLM|LMHeadModel)$", architecture) is not None


def weight_shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    """Return the shape of every tensor in a folder's safetensors by name; imports no torch.

    Only file headers are read. Raises `UserError` for an unreadable file.
    """
    from safetensors import SafetensorError, safe_open

    found: dict[str, tuple[int, ...]] = {}
    for path in weight_files(folder):
        if path.suffix != ".safetensors":
            continue
        try:
            with safe_open(path, "numpy") as file:
                found |= {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
        except (OSError, SafetensorError) as error:
            raise UserError(f"{path} cannot be read: {error}.") from None
    return found


def weight_files(folder: Path) -> list[Path]:
    """Return a folder's weight files, safetensors if it has them; empty if an indexed file is missing.

    Raises `UserError` for an unreadable index, or one that names files elsewhere.
    """
    for pattern, index in (
        ("model*.safetensors", "model.safetensors.index.json"),
        ("pytorch_model*.bin", "pytorch_model.bin.index.json"),
    ):
        files = sorted(folder.glob(pattern))
        if files:
            if (folder / index).is_file():
                files = [folder / name for name in _indexed(folder / index, folder.name)]
                return files if all(file.is_file() for file in files) else []
            return files
    return []


def _indexed(path: Path, name: str) -> list[str]:
    """Return the file names in an index of weights."""
    files = read_json(path, name).get("weight_map")
    if not isinstance(files, dict) or not all(isinstance(file, str) for file in files.values()):
        raise UserError(f"{name}: {path} has no weight_map from weights to files.")
    named = sorted(set(files.values()))
    if outside := [file for file in named if Path(file).name != file]:
        raise UserError(f"{name}: {path} names {echo(outside[0])}, which is not a file in the same folder.")
    return named
