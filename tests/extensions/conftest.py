"""A process in which the extensions are registered, as a package's entry points."""

import os
import subprocess
import sys

import pytest

from core.base.paths import PROJECT
from tests.core.conftest import folder, machine

__all__ = ["folder", "machine"]

ENTRIES = """[slimscope.methods]
row-magnitude = tests.extensions.score:RowMagnitude
rounded-inputs = tests.extensions.runtime:RoundedInputs
[slimscope.metrics]
js = tests.extensions.metric:JS
[slimscope.formats]
small-files = tests.extensions.export_format:SmallFiles
"""


def write_package(place):
    """Write the metadata of a package whose methods are the extensions, for a folder of the import path."""
    known = place / "extensions-1.0.dist-info"
    known.mkdir()
    (known / "METADATA").write_text("Metadata-Version: 2.1\nName: extensions\nVersion: 1.0\n")
    (known / "entry_points.txt").write_text(ENTRIES)


@pytest.fixture
def run(machine, folder, tmp_path):
    """Return a function that runs Python code with the extensions registered, in the folder of the tiny model."""
    write_package(tmp_path)
    environment = os.environ | {"PYTHONPATH": f"{PROJECT}{os.pathsep}{tmp_path}"}

    def run(code: str) -> str:
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, timeout=500)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run
