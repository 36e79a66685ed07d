"""Failures are one sentence and an exit code: long input, unexpected errors, and a file that is cut."""

import errno
import os
import sqlite3
import subprocess
import sys

import pytest
from sqlalchemy.exc import OperationalError

from core.base import paths
from core.cli import compute
from core.cli.app import main
from tests.core.commands import RUN, SWEEP

pytestmark = pytest.mark.usefixtures("machine")

LONG_INPUT = (  # X stands for the long word
    *("run X wanda", "run ./X wanda", "run ./tiny X", "run ./tiny wanda@X", "run ./tiny rtn@X", "RUN --set X=1"),
    *(f"run ./tiny {'wanda@0.5+' * 500}X", "RUN --set damping=X", "RUN --set X", "RUN --pattern X", "RUN --layers X"),
    *("RUN --calibration X", "run ./tiny dense --perplexity X.txt@32", "run ./tiny dense --perplexity X"),
    *("run ./tiny dense --tasks X", "run ./tiny dense --tasks piqa --fewshot X", "RUN --dtype X", "RUN --device X"),
    *("RUN --save X", "RUN --save new --type X", "SWEEP --methods wanda --ratios X", "RUN --X", "X", "delete X"),
    *("SWEEP --methods wanda --patterns X", "SWEEP --methods wanda --ratios 0.5 --seeds X", "results X"),
    *("results --sort X", "results import X.db", "import X.csv", "laws X"),
)


@pytest.mark.parametrize("command", LONG_INPUT, ids=lambda command: command[-40:])
def test_errors_shorten_long_input(command, error_of):
    known = {"RUN": RUN, "SWEEP": SWEEP}
    words = [one for word in command.split() for one in known.get(word, [word.replace("X", "x" * 5000)])]
    (line,) = error_of(*words).strip().splitlines()
    assert "x" * 20 in line and "x" * 81 not in line and len(line) < 700


@pytest.mark.parametrize(
    ("error", "code", "sentence"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), 2, "The disk is full"),
        (RuntimeError("I/O error: No space left on device (os error 28)"), 2, "The disk is full"),
        (OperationalError("INSERT", {}, sqlite3.OperationalError("database or disk is full")), 2, "The disk is full"),
        (MemoryError(), 2, "Memory ran out; choose a smaller model"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), 2, "Memory ran out"),
        (KeyboardInterrupt(), 130, "Finished measurements are stored"),
        (RuntimeError("odd"), 1, "RuntimeError: odd"),
    ],
)
def test_failures_end_with_a_sentence(error, code, sentence, capsys, monkeypatch, results_dir):
    def fail(*arguments):
        raise error

    monkeypatch.setattr(compute, "run_alone", fail)
    assert main(RUN) == code
    captured = capsys.readouterr()
    assert captured.out == "" and "Traceback" not in captured.err
    assert sentence in captured.err.strip().splitlines()[-1]
    if code == 1:
        assert "RuntimeError: odd" in (results_dir / "logs" / "error.log").read_text()


CUT = """
import mmap, os, sys
from core.cli.app import main
from core.cli.upkeep import doctor

def cut():
    with open("weights", "w+b") as file:
        file.write(bytes(2 * mmap.PAGESIZE))
        file.flush()
        mapped = mmap.mmap(file.fileno(), 0)
        os.truncate("weights", 0)
        return [mapped[mmap.PAGESIZE]]

doctor.report = cut
sys.exit(main(["doctor"]))
"""


def test_a_cut_file_is_one_sentence(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(paths.PROJECT)}
    ended = subprocess.run([sys.executable, "-c", CUT], env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert ended.returncode == 1
    assert ended.stderr == (
        "The command was killed (SIGBUS); most likely a file of the model was cut while it was read. Restore it, and "
        "the same command resumes.\n"
    )
