"""A tokenizer for GGUF: its tokens and their kinds, and the rules that turn text into tokens.

A byte-level BPE has merges and a rule that splits text first. A tokenizer with space marks, like SentencePiece, has a
score per token; llama.cpp joins the pieces with the highest score first.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.base.errors import UserError
from core.models.catalogue import BY_ID
from core.models.folders import read_json
from core.models.source import ModelSource
from core.shipping.base import tokenizer_file

if TYPE_CHECKING:
    from gguf import GGUFWriter
    from transformers import PreTrainedTokenizerBase

Spec = Mapping[str, Any]  # Any: JSON of `tokenizers`, in which each kind has fields of its own
NORMAL, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 3, 4, 5, 6  # GGUF's kinds of tokens
# llama.cpp's names of splits, and the pre-tokenizers that perform them.
SPLITS: dict[str, list[Spec]] = {
    "gpt-2": [{"type": "ByteLevel", "use_regex": True}],
    "smollm": [{"type": "Digits", "individual_digits": True}, {"type": "ByteLevel", "use_regex": True}],
    "llama-bpe": [
        {
            "type": "Split",
            "pattern": {
                "Regex": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|"
                r"\s*[\r\n]+|\s+(?!\S)|\s+"
            },
            "behavior": "Isolated",
        },
        {"type": "ByteLevel", "use_regex": False},
    ],
}
WHOLE = ("llama-bpe",)  # splits whose parts skip the merges if they are tokens
LENGTH, NUMBER = 8, 4  # bytes of the length of a text, and of a number
ABSENT = "[PAD{}]"  # a row of the embedding without a token
BYTES = "<0x[0-9A-F]{2}>"  # tokens of single bytes
SPECIAL = {"bos": "bos", "eos": "eos", "pad": "padding", "unk": "unknown"}  # transformers' names and GGUF's


def add_tokenizer(writer: GGUFWriter, tokenizer: PreTrainedTokenizerBase, size: int) -> None:
    """Write a tokenizer's fields for an embedding of `size` tokens, so that llama.cpp produces the same tokens.

    Raises `UserError` if llama.cpp has no equivalent tokenizer.
    """
    spec = json.loads(tokenizer.backend_tokenizer.to_str()) if getattr(tokenizer, "is_fast", False) else {}
    pieces = of_pieces(spec)
    name = "default" if pieces else split_name(spec)
    added, tokens, merges = {token["id"]: token for token in spec["added_tokens"]}, _tokens(spec), _merges(spec)
    kinds = {i: CONTROL if one["special"] else USER_DEFINED for i, one in added.items()}
    kinds |= {i: BYTE for i, token in tokens.items() if pieces and re.fullmatch(BYTES, token)}
    writer.add_tokenizer_model("llama" if pieces else "gpt2")
    writer.add_tokenizer_pre(name)
    writer.add_token_list([tokens.get(i, ABSENT.format(i)) for i in range(size)])
    writer.add_token_types([kinds.get(i, NORMAL if i in tokens else UNUSED) for i in range(size)])
    if pieces:
        first = {pair.replace(" ", ""): rank for rank, pair in reversed(list(enumerate(merges)))}
        writer.add_token_scores([-float(first.get(tokens.get(i, ""), len(merges))) for i in range(size)])
        writer.add_add_space_prefix(False)
    elif merges:
        writer.add_token_merges(merges)
    for theirs, ours in SPECIAL.items():
        if (place := getattr(tokenizer, f"{theirs}_token_id")) is not None:
            writer.add_uint32(f"tokenizer.ggml.{ours}_token_id", place)
    first = tokenizer("a").input_ids[:1]
    writer.add_add_bos_token(first == [tokenizer.bos_token_id])
    if tokenizer.chat_template:
        writer.add_chat_template(tokenizer.chat_template)


def _tokens(spec: Spec) -> dict[int, str]:
    """Return the tokens of a tokenizer by their places, those added to its vocabulary included."""
    known = {place: token for token, place in spec["model"]["vocab"].items()}
    return known | {token["id"]: token["content"] for token in spec["added_tokens"]}


def _merges(spec: Spec) -> list[str]:
    """Return the merges of a tokenizer, the first one first."""
    return [pair if isinstance(pair, str) else " ".join(pair) for pair in spec["model"]["merges"]]


def vocabulary_bytes(source: ModelSource, size: int) -> int:
    """Return the bytes of the tokens and merges in a file, for an embedding of `size` tokens.

    They are 0 if they are unknown, as of a hub model that is not on this machine.
    """
    file, card = tokenizer_file(source), BY_ID.get(source.id)
    return _bytes_in(file, file.stat().st_mtime_ns, size) if file else card.vocabulary_bytes if card else 0


@lru_cache(maxsize=16)  # a search needs it for each chain
def _bytes_in(file: Path, changed: int, size: int) -> int:
    spec = read_json(file, file.parent.name)
    if (spec.get("model") or {}).get("type") != "BPE":  # of which GGUF export knows none
        return 0
    tokens, merges = _tokens(spec), _merges(spec)
    texts = [tokens.get(i, ABSENT.format(i)) for i in range(size)] + ([] if of_pieces(spec) else merges)
    numbers = 2 if of_pieces(spec) else 1  # the kind of each token, and its score
    return sum(LENGTH + len(text.encode()) for text in texts) + NUMBER * numbers * size


def of_pieces(spec: Spec) -> bool:
    """Return whether a tokenizer, given as JSON of `tokenizers`, joins pieces with space marks, as Gemma's does.

    Its text is not split first, because its spaces are already replaced by marks.
    """
    model, before = spec.get("model") or {}, spec.get("pre_tokenizer") or {}
    spaces = {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"}
    whole = not before or (before.get("type"), before.get("pattern")) == ("Split", spaces["pattern"])
    plain = model.get("type") == "BPE" and model.get("byte_fallback") and spec.get("normalizer") == spaces
    return bool(plain and whole)


def split_name(spec: Spec) -> str:
    """Return llama.cpp's name of the split of a tokenizer, given as JSON of `tokenizers`."""
    model, before = spec.get("model") or {}, spec.get("pre_tokenizer") or {}
    parts = before.get("pretokenizers", [before])
    whole = bool(model.get("ignore_merges"))
    plain = not (model.get("byte_fallback") or spec.get("normalizer"))
    if model.get("type") == "BPE" and plain and not any(part.get("add_prefix_space") for part in parts):
        for name, known in SPLITS.items():
            pairs = zip(known, parts, strict=False)
            same = len(parts) == len(known) and all(one.items() <= part.items() for one, part in pairs)
            if same and whole == (name in WHOLE):
                return name
    raise UserError(
        "GGUF export supports byte-level BPE tokenizers that split text as GPT-2, SmolLM or Llama 3 do, and Gemma's. "
        "This model has another; export it as huggingface."
    )
