"""Finished blocks of a stage in the variants' cache, from which an interrupted run resumes.

A streamed run keeps each block at once, another run once a minute. The folder of a block has its weights, constraints,
grids, references and layer reports; another folder has the states with which the next block starts.
"""

import copy
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Protocol

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from core.base.errors import UserError
from core.base.paths import variants_dir
from core.cache.checkpoint import ENDING, FILE, STATES, Checkpoint, read_states
from core.cache.disk import Stamp, intact, stamps
from core.cache.shelf import Shelf
from core.models import modeling_slimscope
from core.models.modeling_slimscope import Shapes
from core.models.parts.blocks import Blocks
from core.models.parts.constraints import load_constraints, save_constraints
from core.models.parts.grids import load_grids, save_grids
from core.models.parts.reference import load_references, save_references
from core.results import LayerReport

WEIGHTS, FACTS = "weights.safetensors", "block.json"


class KeptBlocks(Protocol):
    """What is kept of the blocks that a walk has left."""

    def restore(self, blocks: Blocks) -> tuple[int, list[Tensor]]:
        """Return the number of blocks that an interrupted walk left, and the states after them."""

    def begin(self, index: int, block: nn.Module) -> None:
        """Note a block before it changes."""

    def keep(self, blocks: Blocks, index: int, states: Sequence[Tensor], at_once: bool) -> bool:
        """Keep a block and the states after it, and return whether it did."""


class FinishedBlocks(KeptBlocks):
    """The finished blocks of a stage, which the key of the variant after it identifies.

    Attributes:
        reports: The layer reports of the stage so far, which the stage extends.
    """

    def __init__(self, key: str) -> None:
        self.reports: list[LayerReport] = []
        self._checkpoint = Checkpoint(key)
        self._plain: dict[int, nn.Module] = {}  # blocks before the stage, without memory, that are not kept yet
        self._mapped: dict[Path, Stamp] = {}  # of the files that weights and states are mapped from

    @property
    def reused_seconds(self) -> float:
        """The time that interrupted runs spent on the restored blocks."""
        return self._checkpoint.earlier

    def restore(self, blocks: Blocks) -> tuple[int, list[Tensor]]:
        """Restore the blocks that an interrupted run finished.

        Returns:
            Their number, and the states (sequences, tokens, hidden) with which the next one starts.
        """
        for count in range(len(blocks.holder), 0, -1):
            folders = [self._checkpoint.folder / str(index) for index in range(count)]
            states = self._checkpoint.folder / f"{STATES}-{count - 1}"
            found = stamps([states / FILE, *(folder / WEIGHTS for folder in folders)])
            if states.is_dir() and all(map(intact, [states, *folders])):
                facts = [_load(block, folder) for block, folder in zip(blocks.holder, folders, strict=False)]
                self.reports += [LayerReport.model_validate(one) for fact in facts for one in fact["reports"]]
                self._checkpoint.earlier = facts[-1]["seconds"]
                self._mapped = found
                return count, read_states(states)[0]
        return 0, []

    def begin(self, index: int, block: nn.Module) -> None:
        """Note the shapes of a block before it changes; raise `UserError` as `check` does."""
        self.check()
        meta = {id(one): nn.Parameter(torch.empty_like(one, device="meta"), False) for one in block.parameters()}
        self._plain[index] = copy.deepcopy(block, meta)

    def keep(self, blocks: Blocks, index: int, states: Sequence[Tensor], at_once: bool) -> bool:
        """Keep a finished block, and those before it that were not kept, if the disk and the cache have room.

        The next block starts with `states`, (sequences, tokens, hidden) each; none after the last. A block that is kept
        `at_once` is mapped from its file afterwards. Returns whether the block was kept.
        """
        if not at_once and not self._checkpoint.due:
            return False
        waiting = sorted(self._plain)
        tensors = [*states, *(one for place in waiting for one in blocks.holder[place].parameters())]
        if not self._checkpoint.has_room(sum(tensor.numel() * tensor.element_size() for tensor in tensors)):
            return False
        with self._checkpoint.keeping():
            for place in waiting:
                block, plain = blocks.holder[place], self._plain.pop(place)
                reports = [one.model_dump(mode="json") for one in self.reports if one.block == place]
                seconds = self._checkpoint.seconds
                facts = {"shapes": _changed_shapes(block, plain), "reports": reports, "seconds": seconds}
                self._checkpoint.write(str(place), partial(_write, block, facts))
            self._checkpoint.write_states(index, states)
            if at_once:
                folder = self._checkpoint.folder / str(index)
                self._mapped |= stamps([folder / WEIGHTS])
                _load(blocks.holder[index], folder)
        return True

    def check(self) -> None:
        """Raise `UserError` if a file has changed from which the model is mapped; a deleted one cannot change."""
        for file, now in stamps(self._mapped).items():
            before = self._mapped[file]
            if now.inode == before.inode and now != before:
                raise UserError(f"{file} has changed since the run wrote it. Start the run again, which replaces it.")

    def clear(self) -> None:
        """Delete the blocks once the stage is finished."""
        self._checkpoint.clear()


@contextmanager
def changing_block(
    blocks: Blocks,
    index: int,
    shelf: Shelf | None,
    finished: KeptBlocks | None,
    states: Callable[[], Sequence[Tensor]] = list,
) -> Iterator[None]:
    """Change a block inside the context, then keep it; with a shelf, it is in memory only inside the context.

    `states` returns the states with which the next block starts, (sequences, tokens, hidden) each.
    """
    block = blocks.holder[index]
    if shelf:
        shelf.take(block)
    if finished:
        finished.begin(index, block)
    yield
    streams = shelf is not None
    kept = finished is not None and finished.keep(blocks, index, states(), at_once=streams)
    if shelf and not kept:
        shelf.put(block)


def unfinished() -> list[Path]:
    """Return the folders with blocks of interrupted runs."""
    return sorted(variants_dir().glob(f"*{ENDING}"))


def clear_unfinished() -> tuple[int, int]:
    """Delete the blocks of interrupted runs, and return the number of runs and of bytes."""
    folders = unfinished()
    size = sum(file.stat().st_size for folder in folders for file in folder.rglob("*") if file.is_file())
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
    return len(folders), size


def _changed_shapes(block: nn.Module, plain: nn.Module) -> Shapes:
    """Return the shapes of a block that differ from those before the stage."""
    before, after = (modeling_slimscope.describe(one, plain) for one in (plain, block))
    return {
        tag: {name: shape for name, shape in found.items() if before[tag].get(name) != shape}
        for tag, found in after.items()
        if isinstance(found, dict)
    }


def _write(block: nn.Module, facts: Shapes, folder: Path) -> None:
    own = {name: one.detach().cpu().contiguous() for name, one in block.named_parameters()}
    save_file(own, folder / WEIGHTS)
    save_constraints(block, folder)
    save_grids(block, folder)
    save_references(block, folder)
    (folder / FACTS).write_text(json.dumps(facts))


def _load(block: nn.Module, folder: Path) -> Shapes:
    """Give a block the shapes and the weights of a folder, mapped from its file, and return its facts."""
    facts: Shapes = json.loads((folder / FACTS).read_text())
    with torch.device("meta"):
        modeling_slimscope.reshape(block, facts["shapes"])
    with safe_open(folder / WEIGHTS, "pt") as file:
        weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
    block.load_state_dict(weights, strict=False, assign=True)
    load_constraints(block, folder)
    load_grids(block, folder)
    load_references(block, folder)
    return facts
