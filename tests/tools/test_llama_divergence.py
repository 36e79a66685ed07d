"""The comparison with llama.cpp: the reader of its base files, and a program in its place."""

import re
import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from core.data.corpora import open_corpus
from core.data.windows import evaluation_windows
from core.models.sources import identify, load_model, load_tokenizer
from tests.core.tiny_folder import write_tiny_folder
from tests.tools.programs import run_program
from tools.llama_base import first_scored, read_base

TEXT = "text.txt@24:3"
OUTPUT = """
Mean ln(PPL(Q)/PPL(base))     :   0.250000 ±   0.003000
Mean    KLD:   0.125000 ±   0.001000
99.0%   KLD:   0.500000
Same top p: 75.000 ± 0.100 %
"""
TOOL = """#!/bin/sh
test "$1 $3 $5" = "-m --kl-divergence-base -f" || exit 1
case "$*" in
  "-m dense.gguf "*"-c 24 --chunks 3") cp base "$4" ;;
  "-m other.gguf "*"-c 24 --chunks 3 --kl-divergence") cat output ;;
  *) echo "wrong arguments: $*"; exit 1 ;;
esac
"""


def logits_of(model, tokens):
    with torch.no_grad():
        return model(input_ids=tokens).logits


@pytest.fixture
def sides(tmp_path, monkeypatch):
    """Prepare the program's files; return the tokens and the logits of the dense model and another, (N, L, V)."""
    monkeypatch.setenv("SLIMSCOPE_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(write_tiny_folder(tmp_path))
    model, tokenizer = load_model(identify("./tiny")), load_tokenizer(identify("./tiny"))
    tokens = evaluation_windows(open_corpus("text.txt"), tokenizer, 24, 3)
    dense = logits_of(model, tokens)
    draw = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        parameter += 0.3 * parameter.abs().mean() * torch.randn(parameter.shape, generator=draw)
    model.save_pretrained("other")
    tokenizer.save_pretrained("other")
    Path("tool").write_text(TOOL)
    Path("tool").chmod(0o755)
    Path("output").write_text(OUTPUT)
    Path("base").write_bytes(base_bytes(tokens, dense))
    return tokens, dense, logits_of(model, tokens)


def compared():
    return run_program(
        "tools.llama_divergence", "tool", "dense.gguf", "other.gguf", "./tiny", "./other", "--text", TEXT
    )


def test_both_sides_and_their_difference_are_printed(sides, capsys):
    tokens, dense, other = sides
    assert compared() == 0
    printed = capsys.readouterr().out
    log_p, log_q = (logits[:, 12:-1].double().log_softmax(-1) for logits in (dense, other))  # (N, 11, V)
    kl = (log_p.exp() * (log_p - log_q)).sum(-1).flatten()
    targets = tokens[:, 13:, None]
    expected = {
        "mean KL": (0.125, kl.mean()),
        "99 %": (0.5, kl.quantile(0.99)),
        "same best": (75, 100 * (log_p.argmax(-1) == log_q.argmax(-1)).double().mean()),
        "ln of": (0.25, (log_p - log_q).gather(2, targets).mean()),
    }
    rows = [[cell.strip() for cell in line.strip("│").split("│")] for line in printed.splitlines() if "│" in line]
    assert len(rows) == len(expected)
    for (start, (theirs, ours)), (name, *cells) in zip(expected.items(), rows, strict=True):
        assert name.startswith(start)
        assert [float(cell) for cell in cells] == pytest.approx([theirs, float(ours), float(ours) - theirs], abs=1e-5)
    assert kl.mean() > 1e-3
    assert float(re.search(r"between llama.cpp and Slimscope: (\S+) nats", printed)[1]) < 1e-5


@pytest.mark.full
def test_other_tokens_a_failure_and_an_output_without_numbers_are_reported(sides):
    tokens, dense, _ = sides
    Path("output").write_text("too few tokens")
    with pytest.raises(SystemExit, match=r"printed no mean KL.*\n.*too few tokens"):
        compared()
    Path("output").write_text(OUTPUT)
    Path("base").write_bytes(base_bytes(tokens + 1, dense))
    with pytest.raises(SystemExit, match="other tokens"):
        compared()
    Path("tool").write_text("#!/bin/sh\necho no such model; exit 3")
    with pytest.raises(SystemExit, match="failed:\nno such model"):
        compared()


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


def base_bytes(tokens, logits):
    """Return the bytes of a base file for tokens (N, L) and the logits of all positions, (N, L, V)."""
    count, length = tokens.shape
    vocabulary = logits.shape[2]
    parts = [b"_logits_", struct.pack("<3i", length, vocabulary, count), tokens.numpy().astype("<i4").tobytes()]
    for row in logits[:, length // 2 : -1].float().numpy().reshape(-1, vocabulary):
        highest = row.max()
        lowest = max(row.min(), highest - 16)
        scale = (highest - lowest) / 65535
        total = np.log(np.exp(row - highest).sum())
        codes = np.rint((row.clip(lowest) - lowest) / scale).astype("<u2")
        parts += [struct.pack("<2f", scale, lowest - highest - total), codes.tobytes(), b"\0\0" * (vocabulary % 2)]
    return b"".join(parts)
