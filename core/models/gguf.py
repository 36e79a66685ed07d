"""GGUF files in transformers: the model with dequantised weights, its tokenizer, and their conversion to a folder."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import gguf
import numpy as np

from core.errors import UserError
from core.models.shape import SIZES, Config, text_part

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# What a derived configuration states of the file itself, besides sizes: whether it has a head of its own.
_OF_FILE = (*SIZES, "tie_word_embeddings")
# Fields of the file that name the tokenizer's special tokens.
_SPECIAL = {"bos_token": "bos_token_id", "eos_token": "eos_token_id", "unk_token": "unknown_token_id"}
_SPECIAL |= {"pad_token": "padding_token_id"}


class PlainReader(gguf.GGUFReader):
    """A reader whose file is a plain array: the many small slices of a memory map take twice as long."""

    @property  # type: ignore[override]  # the reader declares a memory map
    def data(self) -> np.ndarray:
        return self._data

    @data.setter
    def data(self, mapped: np.memmap) -> None:
        self._data = np.asarray(mapped)


@contextmanager
def _plain_readers() -> Iterator[None]:
    """Let transformers, which imports its reader at each call, use `PlainReader`."""
    before = gguf.GGUFReader
    gguf.GGUFReader = PlainReader  # type: ignore[misc]  # a class
    try:
        yield
    finally:
        gguf.GGUFReader = before  # type: ignore[misc]


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
    with _plain_readers():
        weights = AutoModelForCausalLM.from_pretrained(**source, dtype=torch.float32).state_dict()
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


def config_like(derived: Config, dense: Config) -> Config:
    """Return the configuration of a GGUF file whose weights were compressed from a dense model.

    A file lacks fields such as the scale of attention, which transformers replaces by defaults. They are those of the
    dense model, if it has the same architecture. Sizes are those of the file.
    """
    dense = text_part(dense)
    if dense["model_type"] != derived["model_type"]:
        return derived
    config = {**dense, **{name: derived[name] for name in _OF_FILE if derived.get(name) is not None}}
    if config["num_hidden_layers"] != dense["num_hidden_layers"]:
        config["layer_types"] = derived.get("layer_types")
    return config


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

    with _plain_readers():
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(**named(file))
    for name, token_id in _special_ids(file).items():
        setattr(tokenizer, name, tokenizer.convert_ids_to_tokens(token_id))
    return tokenizer


def _special_ids(file: Path) -> dict[str, int]:
    """Return the ids of the special tokens in the fields of a GGUF file, by transformers' names."""
    fields = PlainReader(file).fields
    ids = {name: fields.get(f"tokenizer.ggml.{field}") for name, field in _SPECIAL.items()}
    return {name: int(field.contents()) for name, field in ids.items() if field is not None}
