"""Single weight matrices from a folder with a model, without the rest of the model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from core.base.errors import UserError

if TYPE_CHECKING:
    from numpy import ndarray


def read_matrix(folder: Path, name: str) -> ndarray | None:
    """Return the weight of a linear, such as `model.layers.0.self_attn.q_proj`, in a folder of safetensors files.

    Returns:
        The stored fp32 weight, (out, in) or transposed in architectures such as GPT-2; the product of two factors; or
        None if there is no such linear.

    Raises:
        UserError: A file cannot be read.
    """
    whole = _read(folder, f"{name}.weight")
    if whole is not None:
        return whole
    right, left = _read(folder, f"{name}.0.weight"), _read(folder, f"{name}.1.weight")  # (rank, in), (out, rank)
    return None if right is None or left is None else left @ right


def _read(folder: Path, tensor: str) -> ndarray | None:
    from safetensors import SafetensorError, safe_open

    try:
        for file in sorted(folder.glob("*.safetensors")):
            with safe_open(file, "np") as opened:
                if tensor in set(opened.keys()):
                    if opened.get_slice(tensor).get_dtype() == "BF16":  # NumPy lacks it, and torch is slow to import
                        with safe_open(file, "pt") as in_torch:
                            return in_torch.get_tensor(tensor).float().numpy()  # type: ignore[no-any-return]
                    return opened.get_tensor(tensor).astype("float32")  # type: ignore[no-any-return]
    except (OSError, SafetensorError) as error:
        raise UserError(f"The weights in {folder} cannot be read: {error}.") from error
    return None
