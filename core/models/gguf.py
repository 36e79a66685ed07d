"""From a GGUF file to a folder that transformers loads: fp32 safetensors and a tokenizer, converted once."""

import errno
from pathlib import Path
from typing import Any

# Which of the file's fields name the tokenizer's special tokens.
_SPECIAL = {"bos_token": "bos_token_id", "eos_token": "eos_token_id", "unk_token": "unknown_token_id"}
_SPECIAL |= {"pad_token": "padding_token_id"}


def convert(file: Path, folder: Path) -> None:
    """Write the model of a GGUF file to `folder`, in fp32.

    transformers guesses the special tokens of a GGUF tokenizer, and guesses wrong; they are taken from the file's own
    fields, for the tokenizer, the configuration and the generation configuration alike.
    """
    import torch
    from safetensors import SafetensorError
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, GenerationConfig
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    special = _special_ids(file)
    source: dict[str, Any] = {"pretrained_model_name_or_path": file.parent, "gguf_file": file.name}
    weights = AutoModelForCausalLM.from_pretrained(**source, dtype=torch.float32).state_dict()
    # transformers marks the model it reads as quantised and will not save it; a plain one takes over its tensors.
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(**source), dtype=torch.float32)
    model.load_state_dict(weights, assign=True)
    model.tie_weights()
    tokenizer = AutoTokenizer.from_pretrained(**source)
    ids = {name: special[field] for name, field in _SPECIAL.items() if field in special}
    for name, token_id in ids.items():
        setattr(tokenizer, name, tokenizer.convert_ids_to_tokens(token_id))
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
    tokenizer.save_pretrained(folder)


def _special_ids(file: Path) -> dict[str, Any]:
    """Return the fields `tokenizer.ggml.*_token_id` of a GGUF file, without their prefix."""
    from gguf import GGUFReader

    prefix = "tokenizer.ggml."
    fields = GGUFReader(file).fields
    return {
        name.removeprefix(prefix): int(field.contents()) for name, field in fields.items() if name.endswith("_token_id")
    }
