"""What a folder with a Hugging Face model must hold: a readable `config.json` of a causal LM, and all its weights."""

import json
import os
import re
from pathlib import Path
from typing import Any

from core.errors import UserError


def read_json(path: Path, name: str) -> dict[str, Any]:
    """Return the JSON object in a file of the model `name`; a `UserError` where there is none."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        raise UserError(f"{name}: {path} is not readable JSON.") from None
    except OSError as error:
        raise UserError(f"{name}: {path} cannot be read: {error.strerror}.") from None
    if not isinstance(content, dict):
        raise UserError(f"{name}: {path} holds no JSON object.")
    return content


def check_config(folder: Path, name: str) -> None:
    """Raise `UserError` unless the folder's `config.json` describes a causal LM at full precision."""
    path = folder / "config.json"
    if not os.path.isfile(path):
        raise UserError(f"{name}: {folder} has no config.json, so it is not a Hugging Face model folder.")
    config = read_json(path, name)
    kinds = config.get("architectures") or []
    if not isinstance(kinds, list) or not all(isinstance(kind, str) for kind in kinds):
        raise UserError(f"{name}: 'architectures' in {path} is {kinds!r}, not a list of names.")
    if kinds and not any(re.search(r"(ForCausalLM|LMHeadModel)$", kind) for kind in kinds):
        raise UserError(f"{name} is a {kinds[0]}, not a causal language model; only those can be compressed.")
    if "slimscope" in config:
        raise UserError(
            f"{name} is a compressed model whose shapes only its own code builds; give the model that it was made from."
        )
    if "quantization_config" in config:
        raise UserError(f"{name} is already quantised; give the 16 or 32-bit model.")


def weight_files(folder: Path) -> list[Path]:
    """Return a folder's weight files, safetensors if it has them; empty where any that its index names is missing.

    Raises `UserError` for an index that cannot be read, or that names files elsewhere.
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
    """Return the names of the files that an index of weights lists."""
    files = read_json(path, name).get("weight_map")
    if not isinstance(files, dict) or not all(isinstance(file, str) for file in files.values()):
        raise UserError(f"{name}: {path} does not say which file holds which weight.")
    named = sorted(set(files.values()))
    if outside := [file for file in named if Path(file).name != file]:
        raise UserError(f"{name}: {path} names {outside[0]!r}, which is not a file beside it.")
    return named
