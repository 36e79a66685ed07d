"""Conversion of a GGUF file to a folder for transformers: fp32 safetensors and a tokenizer."""

import errno
from pathlib import Path

# Fields of the file that name the tokenizer's special tokens.
_SPECIAL = {"bos_token": "bos_token_id", "eos_token": "eos_token_id", "unk_token": "unknown_token_id"}
_SPECIAL |= {"pad_token": "padding_token_id"}


def convert(file: Path, folder: Path) -> None:
    """Convert the model of a GGUF file to fp32 and write it to `folder`.

    transformers guesses the special tokens of a GGUF tokenizer wrongly. They are taken from the file's fields instead,
    for the tokenizer, the configuration and the generation configuration.
    """
    import torch
    from safetensors import SafetensorError
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, GenerationConfig
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    special = _special_ids(file)
    source: dict[str, Path | str] = {"pretrained_model_name_or_path": file.parent, "gguf_file": file.name}
    weights = AutoModelForCausalLM.from_pretrained(**source, dtype=torch.float32).state_dict()
    # transformers marks the loaded model as quantised and refuses to save it, so a plain model takes its tensors.
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


def _special_ids(file: Path) -> dict[str, int]:
    """Return the fields `tokenizer.ggml.*_token_id` of a GGUF file, without their prefix."""
    from gguf import GGUFReader

    prefix = "tokenizer.ggml."
    fields = GGUFReader(file).fields
    return {
        name.removeprefix(prefix): int(field.contents()) for name, field in fields.items() if name.endswith("_token_id")
    }
