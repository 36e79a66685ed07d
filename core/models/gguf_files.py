"""GGUF files in transformers: the model with dequantised weights, its tokenizer, and their conversion to a folder."""

import errno
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
from core.models.lazy import PreTrainedTokenizerBase

# Published files have up to 1.3 million entries in lists (tokens, their kinds and merges) and 2,000 tensors.
MOST_ENTRIES = 2_000_000
MOST_NAMES = 100_000  # of fields, and of tensors
MOST_TEXT = 2**25  # bytes
MOST_DIMENSIONS = 4
MOST_REST = 2**20  # bytes after the last tensor
BLOCK = re.compile(r"(?:^|\.)blk\.(\d+)\.")
# Fields of the file that name the tokenizer's special tokens.
_SPECIAL = {"bos_token": "bos_token_id", "eos_token": "eos_token_id", "unk_token": "unknown_token_id"}
_SPECIAL |= {"pad_token": "padding_token_id"}


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


def convert(file: Path, folder: Path) -> None:
    """Convert the model of a GGUF file to fp32 and write it to `folder`.

    The configuration and the generation configuration name the special tokens of the file's fields.
    """
    import torch
    from safetensors import SafetensorError
    from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    source = named(file)
    with plain_readers():
        weights = AutoModelForCausalLM.from_pretrained(**source, dtype=torch.float32, use_kernels=False).state_dict()
        config = AutoConfig.from_pretrained(**source)
    # transformers marks the loaded model as quantised and refuses to save it, so a plain model takes its tensors.
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    model.load_state_dict(weights, assign=True)
    model.tie_weights()
    ids = _special_ids(file)
    config_ids = {f"{name}_id": ids[name] for name in ("bos_token", "eos_token", "pad_token") if name in ids}
    for name, token_id in config_ids.items():
        setattr(model.config, name, token_id)
    model.generation_config = GenerationConfig(**config_ids)
    try:
        model.save_pretrained(folder)
    except SafetensorError as error:
        if "No space left" in str(error):
            raise OSError(errno.ENOSPC, str(error)) from None
        raise
    read_tokenizer(file).save_pretrained(folder)


def check_order(file: Path, name: str) -> None:
    """Raise `UserError` if the file of the model `name` has tensors that transformers reads in another order."""
    reader = PlainReader(file)
    llama = reader.fields["general.architecture"].contents() == "llama"
    if llama and any(tensor.name.endswith("attn_q.bias") for tensor in reader.tensors):
        raise UserError(
            f"{name} has biases in its attention, which transformers reads in a wrong order from a Llama's GGUF file; "
            "give the model in another format."
        )


def named(file: Path) -> dict[str, Path | str]:
    """Return the arguments of `from_pretrained` that name a GGUF file."""
    return {"pretrained_model_name_or_path": file.parent, "gguf_file": file.name}


def read_tokenizer(file: Path) -> PreTrainedTokenizerBase:
    """Return the tokenizer of a GGUF file.

    transformers guesses its special tokens wrongly. They are taken from the file's fields instead.
    """
    from transformers import AutoTokenizer

    with plain_readers():
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(**named(file))
    for name, token_id in _special_ids(file).items():
        setattr(tokenizer, name, tokenizer.convert_ids_to_tokens(token_id))
    return tokenizer


def _special_ids(file: Path) -> dict[str, int]:
    """Return the ids of the special tokens in the fields of a GGUF file, by transformers' names."""
    fields = PlainReader(file).fields
    ids = {name: fields.get(f"tokenizer.ggml.{field}") for name, field in _SPECIAL.items()}
    return {name: int(field.contents()) for name, field in ids.items() if field is not None}
