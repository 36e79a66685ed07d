"""The ground of the kills: models, a text, made-up trials, and forks in place of programs."""

import shutil
import subprocess
from types import SimpleNamespace

import pytest
import torch
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from core.answers import client
from core.base import paths
from core.jobs import supervisor
from core.jobs.executor import Executor
from core.store import database
from tests.core.search.texts import write_wide
from tests.core.tiny import tiny
from tests.core.tiny_folder import write_tiny_folder
from tests.kills import processes
from tests.kills.searcher import MADE_UP

pytest.register_assert_rewrite("tests.kills.world")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """The current folder with the models and the text, and a machine that kills have patched."""
    torch.set_num_threads(1)  # as further threads would not outlive a fork
    folder = write_tiny_folder(tmp_path_factory.mktemp("kills"))
    write_wide(folder)
    shutil.copytree(folder / "tiny", folder / "long")
    tiny("llama-gqa", max_position_embeddings=1024).save_pretrained(folder / "long")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name, value in {"RESULTS": folder / "results", "CACHE": folder / "cache", "DB": "", "SLOTS": "1"}.items():
            patch.setenv(f"SLIMSCOPE_{name}", str(value))
        patch.delenv("SLIMSCOPE_DATA", raising=False)
        patch.setattr(paths, "SHIPPED_MEASURED", folder / "measured")
        patch.setattr(supervisor, "ACTIVE_SECONDS", 0.05)
        patch.setattr(supervisor, "IDLE_SECONDS", 0.1)
        patch.setattr(Executor, "launch", processes.launch)
        patch.setattr(client, "subprocess", SimpleNamespace(**vars(subprocess) | {"Popen": processes.ForkedAnswers}))
        for made_up in MADE_UP:
            patch.setattr(*made_up)
        patch.setattr(database, "create_engine", _engine)
        yield folder


def _engine(url, **options):
    """Create an engine; a connection to SQLite that is open while its process forks would share its locks."""
    return create_engine(url, **options | ({"poolclass": NullPool} if str(url).startswith("sqlite") else {}))


@pytest.fixture
def world(place, request, monkeypatch):
    """A function that returns the world of a kill, without rows, files and models in the cache."""
    from tests.kills.world import World  # after the registration above

    machines = request.getfixturevalue("machines") if "machines" in request.fixturenames else None
    made = []

    def make(kill):
        end()
        for folder in (place / "results", place / "cache"):
            shutil.rmtree(folder, ignore_errors=True)
        server = request.getfixturevalue("postgres_server") if kill.store == "PostgreSQL" else None
        monkeypatch.setenv("SLIMSCOPE_DB", server.new_database() if server else "")
        monkeypatch.setenv("SLIMSCOPE_SLOTS", "2" if kill.executor == "2_slots" else "1")
        made.append(World(kill, server, machines))
        return made[-1]

    def end():
        if made:
            made.pop().end()

    yield make
    end()
