"""GGUF files in transformers: the model with dequantised weights, its tokenizer, and their conversion to a folder."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import TYPE_CHECKING

from core.base.errors import UserError
from core.models.gguf.reader import PlainReader, plain_readers

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# Fields of the file that name the tokenizer's special tokens.
_SPECIAL = {"bos_token": "bos_token_id", "eos_token": "eos_token_id", "unk_token": "unknown_token_id"}
_SPECIAL |= {"pad_token": "padding_token_id"}


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
