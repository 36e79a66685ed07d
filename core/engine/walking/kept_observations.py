"""What a pass has observed of the blocks so far, kept in the cache, so that an interrupted pass resumes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from core.cache.checkpoint import Checkpoint
from core.cache.checksums import intact
from core.cache.observations import FILE, Tensors
from core.models.parts.blocks import Blocks
from core.models.parts.finished import KeptBlocks


class KeptObservations(KeptBlocks):
    """The observations of the blocks that a pass has left; each block's lie in a folder of their own.

    Args:
        name: Identifies the pass.
        tensors: Receives what an interrupted pass observed: tensors that exist are filled.
        of_block: Returns those of `tensors` that belong to a block.
    """

    def __init__(self, name: str, tensors: Tensors, of_block: Callable[[int], Tensors]):
        self._checkpoint, self._tensors, self._of_block = Checkpoint(name), tensors, of_block
        self._written = 0  # blocks

    def restore(self, blocks: Blocks) -> tuple[int, list[Tensor]]:
        """Restore what an interrupted pass observed.

        Returns:
            The number of its blocks, and the states (sequences, tokens, hidden) with which the next one starts.
        """
        count, states = self._checkpoint.restore_states()
        folders = [self._checkpoint.folder / f"observed-{index}" for index in range(count)]
        if not all(map(intact, folders)):
            return 0, []
        for folder in folders:
            for name, tensor in load_file(folder / FILE).items():
                if name in self._tensors:
                    self._tensors[name].copy_(tensor)
                else:
                    self._tensors[name] = tensor
        self._written = count
        return count, states

    def begin(self, index: int, block: nn.Module) -> None:
        """Do nothing, as the pass changes no block."""

    def keep(self, blocks: Blocks, index: int, states: Sequence[Tensor], at_once: bool) -> bool:
        """Keep the observations up to a block and the states after it, if it is time and there is room."""
        if not self._checkpoint.due:
            return False
        parts = [self._of_block(place) for place in range(self._written, index + 1)]
        tensors = [*states, *(tensor for part in parts for tensor in part.values())]
        if not self._checkpoint.has_room(sum(tensor.nbytes for tensor in tensors)):
            return False
        with self._checkpoint.keeping():
            for place, part in enumerate(parts, self._written):
                own = {name: tensor.cpu().contiguous() for name, tensor in part.items()}
                self._checkpoint.write(f"observed-{place}", partial(_write, own))
            self._written = index + 1
            self._checkpoint.write_states(index, states)
        return True


def _write(tensors: Tensors, folder: Path) -> None:
    save_file(tensors, folder / FILE)
