"""A folder with a small model, its tokenizer and a text, as the command line reads them, and damage to it."""

import json
import random
from pathlib import Path

from tests.core.commands import WORDS


def write_tiny_folder(place: Path) -> Path:
    """Write a random Llama of 97 tokens and 128 positions, its tokenizer, and a text of 3000 words."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace
    from transformers import PreTrainedTokenizerFast

    from tests.core.tiny import tiny

    words = Tokenizer(WordLevel({"<unk>": 0, **{word: i + 1 for i, word in enumerate(WORDS)}}, unk_token="<unk>"))
    words.pre_tokenizer = Whitespace()
    tiny("llama-gqa").save_pretrained(place / "tiny")
    PreTrainedTokenizerFast(tokenizer_object=words, unk_token="<unk>", eos_token="<unk>").save_pretrained(
        place / "tiny"
    )
    draw = random.Random(0)
    paragraphs = [" ".join(draw.choices(WORDS, k=100)) for _ in range(30)]
    (place / "text.txt").write_text("\n\n".join(paragraphs))
    return place


ODD = ("[]", "null", "5")


def edit(folder, **changes):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | changes))
