"""What the dense model computes on the windows of a text, in the user cache, for comparisons with its variants.

The hidden states before the head are kept, and the head. Together they give the logits of one window at a time; all
logits would take up to a hundred times as much. Both are mapped from their files, so memory does not grow with a text.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor
from transformers import PreTrainedModel

from core.base.paths import cache_dir
from core.base.progress import Progress
from core.cache import disk
from core.cache.disk import check_disk
from core.cache.folders import CACHE_BYTES, build_once, make_room
from core.evaluation.divergence import DenseHead, DenseText
from core.evaluation.perplexity import batch_size
from core.evaluation.states import OutputScale, head_parts, output_scale, states_by_batch, states_by_block
from core.specs import BYTES, Dtype

STATES, WEIGHT, BIAS, SCALE = "states.bin", "weight.bin", "bias.bin", "scale.json"
HEAD = "head-2"  # the first lacked the soft cap or factor of some models
STAGE = "dense"  # of the progress


class DenseOutputs:
    """The dense model's outputs on texts; `load` loads the model, which is needed for texts that are not cached."""

    def __init__(self, key: str, dtype: Dtype, load: Callable[[], PreTrainedModel], by_block: bool = False):
        """Name the dense model by its key; `by_block` lets all windows of a text pass a block before the next."""
        self.key, self.dtype, self._load, self._by_block = key, dtype, load, by_block

    def of(self, windows: Tensor, progress: Progress, name: str) -> DenseText:
        """Return the outputs on the windows (N, L) of a text; raise `StorageError` if the cache has no room."""
        head = self._head
        digest = hashlib.sha256(windows.numpy().tobytes()).hexdigest()
        hidden = head.weight.shape[1]
        count, length = len(windows), windows.shape[1] - 1
        folder = self._kept(
            digest[:16],
            lambda: count * length * hidden * BYTES[self.dtype],
            lambda place: self._write_states(place / STATES, windows, progress, name),
        )
        return DenseText(self._mapped(folder / STATES).view(count, length, hidden), head)

    @cached_property  # verified once for all texts
    def _head(self) -> DenseHead:
        folder = self._kept(
            HEAD,
            lambda: sum(weight.numel() for weight, _ in head_parts(self._model)) * BYTES[self.dtype],
            self._write_head,
        )
        known, bias = json.loads((folder / SCALE).read_bytes()), folder / BIAS
        return DenseHead(
            self._mapped(folder / WEIGHT).view(known["vocabulary"], -1),
            self._mapped(bias) if bias.exists() else None,
            OutputScale(known["factor"], known["cap"]),
        )

    def _kept(self, name: str, size: Callable[[], int], make: Callable[[Path], None]) -> Path:
        """Return a folder of about `size()` bytes, which `make` fills unless an intact one exists."""
        folder = cache_dir() / "dense_outputs" / f"{self.key[:16]}-{name}"
        if folder.is_dir() and disk.intact(folder):
            os.utime(folder)
            return folder
        shutil.rmtree(folder, ignore_errors=True)
        check_disk(folder.parent, size(), "The comparison with the dense model")
        make_room(folder.parent, max(0, CACHE_BYTES - size()))
        return build_once(folder, make)

    def _mapped(self, file: Path) -> Tensor:
        """Return the numbers of a file, (n,), read from it when they are used."""
        numbers = file.stat().st_size // BYTES[self.dtype]
        return torch.from_file(str(file), shared=False, size=numbers, dtype=getattr(torch, self.dtype))

    @cached_property
    def _model(self) -> PreTrainedModel:
        return self._load()

    def _write_states(self, file: Path, windows: Tensor, progress: Progress, name: str) -> None:
        model, done = self._model, 0
        batches = windows.split(batch_size(model, windows.shape[1]))

        def advance(block: int, blocks: int) -> None:
            progress(STAGE, done, len(windows), f"{name}, block {block} of {blocks}")

        by_block = self._by_block
        found = states_by_block(model, batches, self.key, advance) if by_block else states_by_batch(model, batches)
        with file.open("wb") as opened:
            for batch in batches:
                progress(STAGE, done, len(windows), name)
                opened.write(_bytes(next(found).hidden))
                done += len(batch)
        progress(STAGE, done, len(windows), name)

    def _write_head(self, folder: Path) -> None:
        """Write the weights, the biases if there are any, and the scale of the logits."""
        model, vocabulary = self._model, 0
        with (folder / WEIGHT).open("wb") as weights:
            for weight, bias in head_parts(model):
                weights.write(_bytes(weight))
                vocabulary += len(weight)
                if bias is not None:
                    with (folder / BIAS).open("ab") as biases:
                        biases.write(_bytes(bias))
        scale = output_scale(model)
        known = {"vocabulary": vocabulary, "factor": scale.factor, "cap": scale.cap}
        (folder / SCALE).write_text(json.dumps(known))


def _bytes(numbers: Tensor) -> bytes:
    return numbers.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes()
