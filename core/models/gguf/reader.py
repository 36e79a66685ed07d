"""Reading of a GGUF file's fields and tensor names, within limits that a damaged or hostile file cannot exceed."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import gguf
import numpy as np
from gguf.gguf_reader import ReaderField

from core.base.errors import UserError

# Published files have up to 1.3 million entries in lists (tokens, their kinds and merges) and 2,000 tensors.
MOST_ENTRIES = 2_000_000
MOST_NAMES = 100_000  # of fields, and of tensors
MOST_TEXT = 2**25  # bytes
MOST_DIMENSIONS = 4
MOST_REST = 2**20  # bytes after the last tensor
BLOCK = re.compile(r"(?:^|\.)blk\.(\d+)\.")


class PlainReader(gguf.GGUFReader):
    """A reader whose file is a plain array: the many small slices of a memory map take twice as long.

    It raises `UserError` for a file that exceeds the limits.
    """

    def __init__(self, path: os.PathLike[str] | str, mode: Literal["r", "r+", "c"] = "r"):
        self._name, self._entries = Path(path).name, 0
        super().__init__(path, mode)
        end = max((tensor.data_offset + tensor.n_bytes for tensor in self.tensors), default=self.data_offset)
        if len(self.data) > end + MOST_REST:
            raise UserError(
                f"{self._name} has {len(self.data):,} bytes, but its tensors end after {end:,}; give an intact file."
            )

    @property  # type: ignore[override]  # the reader declares a memory map
    def data(self) -> np.ndarray:
        return self._data

    @data.setter
    def data(self, mapped: np.memmap) -> None:
        self._data = np.asarray(mapped)

    def _check(self, count: int, most: int, what: str) -> None:
        if count > most:
            raise UserError(f"{self._name} has {count:,} {what}; at most {most:,} are read.")

    def _build_fields(self, offs: int, count: int) -> int:
        self._check(int(count), MOST_NAMES, "fields")
        return super()._build_fields(offs, count)

    def _build_tensor_info(self, offs: int, count: int) -> tuple[int, list[ReaderField]]:
        self._check(int(count), MOST_NAMES, "tensors")
        return super()._build_tensor_info(offs, count)

    def _get_tensor_info_field(self, orig_offs: int) -> ReaderField:
        field = super()._get_tensor_info_field(orig_offs)
        self._check(int(field.parts[2][0]), MOST_DIMENSIONS, f"dimensions in the tensor {field.name[:40]}")
        return field

    def _get_str(self, offset: int) -> tuple[np.ndarray, np.ndarray]:
        self._check(int(self._get(offset, np.uint64)[0]), MOST_TEXT, "bytes in a text")
        return super()._get_str(offset)

    # Any: arrays of the library.
    def _get_field_parts(self, orig_offs: int, raw_type: int) -> tuple[int, list[Any], list[int], list[Any]]:
        if raw_type == gguf.GGUFValueType.ARRAY:
            self._entries += int(self._get(orig_offs + 4, np.uint64)[0])
            self._check(self._entries, MOST_ENTRIES, "entries in lists")
        return super()._get_field_parts(orig_offs, raw_type)


@contextmanager
def plain_readers() -> Iterator[None]:
    """Let transformers, which imports its reader at each call, use `PlainReader`."""
    before = gguf.GGUFReader
    gguf.GGUFReader = PlainReader  # type: ignore[misc]  # a class
    try:
        yield
    finally:
        gguf.GGUFReader = before  # type: ignore[misc]


def check_blocks(file: Path) -> None:
    """Raise `UserError` for a file that states more blocks than it has.

    transformers would take minutes to map the tensors of the stated blocks.
    """
    reader = PlainReader(file)
    stated = stated_fields(reader).get("block_count")
    names = (BLOCK.search(tensor.name) for tensor in reader.tensors)
    blocks = {found[1] for found in names if found}
    if isinstance(stated, int) and stated > len(blocks):
        raise UserError(
            f"{file.name} states {stated:,} blocks, but has tensors of {len(blocks)}; give a file with all of them."
        )


def stated_fields(reader: gguf.GGUFReader) -> dict[str, Any]:  # Any: numbers, texts, and lists of them
    """Return the values of the fields on the architecture, by their names without that of the architecture."""
    prefix = f"{reader.fields['general.architecture'].contents()}."
    return {
        name.removeprefix(prefix): field.contents() for name, field in reader.fields.items() if name.startswith(prefix)
    }
