"""A file of the model that is cut while it is read ends a command with one sentence."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from core import paths
from core.cli.app import main
from core.request.execution import LEAST_BYTES

pytestmark = pytest.mark.usefixtures("machine")

TEXTS = ["--calibration", "text.txt:4x32", "--perplexity", "text.txt@32:4"]
RUN = ["run", "./tiny", "wanda", *TEXTS, "--memory", str(LEAST_BYTES)]  # so the model streams from its files
CUT = """
import os, sys
from core.cli.app import main
from core.engine import measure

whole = measure.perplexity

def cut(*arguments, **more):
    os.truncate("tiny/model.safetensors", 0)
    return whole(*arguments, **more)

measure.perplexity = cut
sys.exit(main(sys.argv[1:]))
"""


def test_a_cut_file_is_one_sentence_and_the_run_resumes(tmp_path, monkeypatch):
    monkeypatch.chdir(shutil.copytree(Path.cwd(), tmp_path / "own"))
    weights = Path("tiny", "model.safetensors")
    content, before = weights.read_bytes(), weights.stat()
    ended = subprocess.run(
        [sys.executable, "-c", CUT, *RUN],
        env={**os.environ, "PYTHONPATH": str(paths.PROJECT)},
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 1
    assert ended.stderr.endswith(
        "The command was killed (SIGBUS); most likely a file of the model was cut while it was read. Restore it, and "
        "the same command resumes.\n"
    )
    assert "Traceback" not in ended.stderr
    weights.write_bytes(content)
    os.utime(weights, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert main(RUN) == 0
