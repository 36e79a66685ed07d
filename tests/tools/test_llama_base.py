"""The reader of llama.cpp's base files, on small files made here."""

import pytest
import torch

from tests.tools.base_files import base_bytes
from tools.llama_base import first_scored, read_base


@pytest.mark.parametrize("vocabulary", [50, 51])
@pytest.mark.parametrize("length", [8, 9])
def test_tokens_and_log_probabilities_are_read(tmp_path, vocabulary, length):
    draw = torch.Generator().manual_seed(0)
    tokens = torch.randint(vocabulary, (3, length), generator=draw)
    logits = 2 * torch.randn(3, length, vocabulary, generator=draw)
    (tmp_path / "base").write_bytes(base_bytes(tokens, logits))
    base = read_base(tmp_path / "base")
    assert torch.equal(base.tokens, tokens)
    for window in range(3):
        whole = logits[window, first_scored(length) : -1].log_softmax(1)
        assert base.log_probabilities(window) == pytest.approx(whole, abs=2e-4)


def test_other_and_incomplete_files_are_refused(tmp_path):
    whole = base_bytes(torch.zeros(2, 8, dtype=torch.int64), torch.randn(2, 8, 5))
    (tmp_path / "other").write_bytes(b"GGUF" + whole)
    with pytest.raises(ValueError, match="is not a base file"):
        read_base(tmp_path / "other")
    (tmp_path / "part").write_bytes(whole[:-2])
    with pytest.raises(ValueError):
        read_base(tmp_path / "part")
