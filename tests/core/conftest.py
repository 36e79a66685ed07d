"""Fixtures of the tests of the queue and of the command line."""

import json
import os

import pytest

from core.base import paths
from core.cli.app import main
from core.cli.printing.console import output
from core.jobs import supervisor
from core.jobs.executor import Executor
from core.jobs.queue import Queue
from core.shipping.proof import ExportCheck
from core.store.store import Store
from tests.core.queues import FAKE, PlayedQueue, process_of
from tests.core.tiny_folder import write_tiny_folder


@pytest.fixture
def quick_supervisor(results_dir, tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "SHIPPED_MEASURED", tmp_path / "measured")
    monkeypatch.setattr(supervisor, "ACTIVE_SECONDS", 0.05)
    monkeypatch.setattr(supervisor, "IDLE_SECONDS", 0.1)
    monkeypatch.setenv("SLIMSCOPE_SLOTS", "1")  # also on a machine with several GPUs


@pytest.fixture
def store():
    return Store()


@pytest.fixture
def make_queue(store):
    made = []

    def make():
        made.append(Queue(store, Executor(store.url, FAKE)))
        return made[-1]

    yield make
    for queue in made:
        queue.stop()
    for job in made[0].jobs() if made else ():
        if job.active and job.handle and process_of(job) != os.getpid():
            left = Executor(store.url).adopt(job.handle)
            if left is not None:
                left.kill()


@pytest.fixture
def queue(make_queue):
    queue = make_queue()
    queue.start()
    return queue


@pytest.fixture
def played(quick_supervisor, store):
    """A queue whose jobs have no processes."""
    queue = PlayedQueue(store)
    yield queue
    queue.stop()


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """`write_tiny_folder`, and files that cannot be read."""
    place = write_tiny_folder(tmp_path_factory.mktemp("cli"))
    (place / "bytes.bin").write_bytes(b"\xff\xfe\x00")
    (place / "full").mkdir()
    (place / "full" / "file").write_text("x")
    return place


@pytest.fixture
def output_of(capsys):
    """A function that runs a command, which succeeds, and returns what it prints, or the value of its JSON."""

    def run(*words):
        code = main([str(word) for word in words])
        printed = capsys.readouterr()
        assert code == 0, printed.err
        return json.loads(printed.out) if "--json" in words else printed.out

    return run


@pytest.fixture
def error_of(capsys):
    """A function that runs a command, which is refused without a traceback, and returns its error output."""

    def run(*words):
        assert main([str(word) for word in words]) == 2
        error = capsys.readouterr().err
        assert "Traceback" not in error
        return error

    return run


@pytest.fixture
def cache(request, tmp_path, monkeypatch):
    """The user cache, a test's own unless it needs real data."""
    if "real" not in request.keywords:
        monkeypatch.setenv("SLIMSCOPE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def applied(monkeypatch):
    """The methods of the stages that are computed from now on."""
    from core.engine import variants

    apply, methods = variants.apply, []
    monkeypatch.setattr(variants, "apply", lambda *given: methods.append(given[1].stage.method) or apply(*given))
    return methods


def _ground(architecture, **changes):
    """Build a fixture of a tiny model as the ground of a contract, with the tokenizer of the small one."""

    @pytest.fixture(scope="module")
    def made(folder, tmp_path_factory):
        from tests.core.contract.ground import Ground
        from tests.core.tiny import tiny

        place = tmp_path_factory.mktemp(architecture)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("SLIMSCOPE_CACHE", str(place / "cache"))
            for file in (folder / "tiny").glob("*token*"):
                (place / file.name).write_bytes(file.read_bytes())
            tiny(architecture, **changes).save_pretrained(place)
            yield Ground.at(place)

    return made


ground = _ground("llama-gqa", num_hidden_layers=4)  # as many as the `BLOCKS` of the contract
gemma = _ground("gemma3-mqa")  # of the shape of the 270M model in small
mixture = _ground("mixtral", num_hidden_layers=4)  # of eight experts, two of which compute each token


@pytest.fixture(scope="module")
def grounds(ground, mixture):
    """Return what a case is checked on: a model of its kind."""
    return lambda case: mixture if case.method.kind == "experts" else ground


@pytest.fixture
def machine(folder, results_dir, tmp_path, monkeypatch):
    """An empty machine in the folder of the model, so that relative paths name it; no runtime reads what it saves.

    Tables are as wide as they are, so that tests read their lines.
    """
    monkeypatch.setattr(output, "width", 1000)
    monkeypatch.setenv("SLIMSCOPE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("SLIMSCOPE_DATA", raising=False)
    monkeypatch.setattr(paths, "SHIPPED_MEASURED", tmp_path / "measured")
    monkeypatch.setattr("core.shipping.export.verify_export", lambda *_: ExportCheck(reason="not read here."))
    monkeypatch.chdir(folder)


@pytest.fixture
def tiny_texts(machine, folder, monkeypatch):
    """Searches of the model `wide`, whose rows are whole groups, on a machine with one text."""
    from core.request.expected import estimate
    from core.search import question
    from tests.core.search.texts import CALIBRATION, JUDGE, TEXT, write_wide

    write_wide(folder)
    monkeypatch.setattr(estimate, "START_SECONDS", 0.1)

    monkeypatch.setattr(question, "texts", lambda shape: (TEXT, JUDGE))
    monkeypatch.setattr(question, "default_text", lambda *_: CALIBRATION)
