"""Distances of exported files, measured on a tiny random model."""

from pathlib import Path

import pytest

from core.base import paths
from core.cli.app import main
from core.request import complete
from core.shipping.measured import LINE
from core.shipping.proof import ExportCheck
from core.store.store import Store
from tests.core.tiny_folder import write_tiny_folder
from tests.tools.programs import run_program

RUN = ("run", "./tiny", "magnitude", "--ratio", "0.5", "--perplexity", "text.txt@32:2")


@pytest.fixture
def key(results_dir, tmp_path, monkeypatch):
    """The key of a variant of the tiny model, on a machine without bundled measurements."""
    monkeypatch.setenv("SLIMSCOPE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(paths, "SHIPPED_FILES", tmp_path / "files.jsonl")
    monkeypatch.setattr(paths, "SHIPPED_MEASURED", tmp_path / "measured")
    monkeypatch.setattr(complete, "default_corpora", lambda: ("text.txt", "text.txt"))
    monkeypatch.setattr("core.shipping.export.verify_export", lambda *_: ExportCheck(reason="not read here."))
    monkeypatch.chdir(write_tiny_folder(tmp_path))
    assert main([*RUN]) == 0
    return next(one.variant.key for one in Store().results() if one.variant.method == "magnitude")


def test_a_file_is_measured_and_stored(key):
    assert run_program("tools.files", "huggingface", key[:8]) == 0
    (line,) = Path(paths.SHIPPED_FILES).read_bytes().splitlines()
    one = LINE.validate_json(line)
    assert (one.key, one.type, one.dtype) == (key, "fp32", "float32")
    assert one.text.startswith("text.txt@") and one.n > 1
    assert one.ratio_low < one.ratio < one.ratio_high and one.ratio != 1 and one.kl > 0
    assert one.bytes > 90_000  # a few more than the 91.3 kB of its weights


def test_without_a_key_the_use_is_printed():
    with pytest.raises(SystemExit, match=r"python -m tools\.files FORMAT KEY"):
        run_program("tools.files", "gguf")
