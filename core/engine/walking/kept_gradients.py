"""What a pass over calibration sequences has accumulated, kept in the cache, so that an interrupted pass resumes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import load_file, save_file

from core.cache.checkpoint import Checkpoint
from core.methods.inputs import Accumulator
from core.models.parts.blocks import Linear
from core.models.parts.overflow import Overflow

GRADIENTS = "gradients"


class KeptGradients:
    """The states of the accumulators after some sequences, in the folder of the pass, a file for each linear.

    Args:
        name: Identifies the pass.
        accumulators: Those of the linears, without any sequence yet.
        overflow: Moves to disk what the accumulators restore.
    """

    def __init__(self, name: str, accumulators: Mapping[Linear, Accumulator], overflow: Overflow):
        self._checkpoint, self._accumulators, self._overflow = Checkpoint(name), accumulators, overflow

    def restore(self) -> int:
        """Restore the accumulators of an interrupted pass, and return the number of its sequences."""
        known = self._checkpoint.newest(GRADIENTS)
        if known is None:
            return 0
        done, folder = known
        for place, (linear, accumulator) in enumerate(self._accumulators.items()):
            if state := load_file(_file(folder, place)):  # none if no sequence reached the linear
                accumulator.restore(state)
                self._overflow.store(linear.name, accumulator.tensors().values())
        return done

    def keep(self, done: int) -> None:
        """Keep the accumulators after `done` sequences if it is time, and if the disk and the cache have room.

        Raises:
            StorageError: The disk is full.
        """
        if not self._checkpoint.due:
            return
        with self._checkpoint.keeping():
            size = sum(tensor.nbytes for one in self._accumulators.values() for tensor in one.state().values())
            if self._checkpoint.has_room(size):
                self._checkpoint.replace(GRADIENTS, done, self._write)

    def _write(self, folder: Path) -> None:
        for place, accumulator in enumerate(self._accumulators.values()):
            state = {name: tensor.detach().cpu().contiguous() for name, tensor in accumulator.state().items()}
            save_file(state, _file(folder, place))


def _file(folder: Path, place: int) -> Path:
    return folder / f"{place}.safetensors"
