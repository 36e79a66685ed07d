"""A model folder."""

import pytest

from tests.core.byte_tokenizer import byte_tokenizer
from tests.core.tiny import tiny


@pytest.fixture
def folder(tmp_path):
    """A model folder as `save_pretrained` writes it."""
    path = tmp_path / "my-llama"
    tiny(vocab_size=257).save_pretrained(path)
    byte_tokenizer().save_pretrained(path)
    return path
