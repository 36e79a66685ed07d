"""Two dashboards with two workers each at one PostgreSQL, while people queue, cancel, move, repeat and delete jobs.

Afterwards no page has an error box, no log has a traceback, each job is in an end state or deleted, and each job that
is done has its numbers.
"""

import random
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from core.base.errors import UserError
from core.base.paths import PROJECT
from core.jobs.queue import Queue
from core.request.complete import complete
from core.request.settings import RunSettings
from core.specs import Perplexity, RunSpec, TextWindows
from core.store.store import Store
from tests.core.queues import until
from tests.core.tiny_folder import write_tiny_folder
from tests.e2e.browser import served

pytestmark = [pytest.mark.e2e, pytest.mark.full, pytest.mark.postgres]

SECONDS = 60.0
PEOPLE = 4
PAUSE_SECONDS = 2.0  # at most, between two actions of a person
WAITING = 12  # jobs at which nobody queues more
LONGEST_END = 120.0  # seconds until all jobs have ended
ERRORS = "[data-testid=stException], [data-testid=stAlertContentError]"


def person(url: str, folder: Path, seed: int, end: float) -> tuple[set[int], set[int]]:
    """Act on the queue at random until `end`; return the ids of submitted and of deleted jobs."""
    queue, draw = Queue(Store(url)), random.Random(seed)
    submitted: set[int] = set()
    deleted: set[int] = set()

    def submit() -> None:
        if len(queue.active()) < WAITING:
            submitted.add(queue.submit(spec(folder, draw)))

    def cancel() -> None:
        if found := queue.active():
            queue.cancel(draw.choice(found).id)

    def move() -> None:
        if found := queue.active():
            queue.move(draw.choice(found).id, later=draw.random() < 0.5)

    def delete() -> None:
        if found := queue.ended():
            job_id = draw.choice(found).id
            queue.delete(job_id)
            deleted.add(job_id)

    def retry() -> None:
        if found := queue.ended():
            submitted.add(queue.retry(draw.choice(found).id))

    while time.monotonic() < end:
        with suppress(UserError):  # someone else was first
            draw.choice((*[submit] * 8, *[move] * 8, cancel, delete, retry))()
        time.sleep(PAUSE_SECONDS * draw.random())
    return submitted, deleted


def spec(folder: Path, draw: random.Random) -> RunSpec:
    text, method = str(folder / "text.txt"), draw.choice(("wanda", "magnitude", "sparsegpt"))
    return complete(
        str(folder / "tiny"),
        f"{method}@0.{draw.randint(1, 8)}",
        RunSettings(
            calibration=TextWindows(corpus=text, windows=2, window=32),
            perplexity=[Perplexity(corpus=text, window=32, windows=2)],
            threads=1,
        ),
    )


def _look(pages: list) -> None:
    for page in pages:
        found = page.locator(ERRORS)
        assert not found.count(), found.first.inner_text()


def test_two_dashboards_and_four_workers_share_a_database(browser, tmp_path, monkeypatch, postgres_server):
    write_tiny_folder(tmp_path)
    monkeypatch.setenv("SLIMSCOPE_CACHE", str(tmp_path / "cache"))  # one, as it holds where the model is
    url = postgres_server.new_database()
    with ExitStack() as stack:
        servers = []
        for name in ("first", "second"):
            (tmp_path / name).mkdir()
            environment = {"SLIMSCOPE_RESULTS": str(tmp_path / name), "PYTHONPATH": str(PROJECT)}
            environment |= {"SLIMSCOPE_DB": url, "SLIMSCOPE_SLOTS": "2", "SLIMSCOPE_STORAGE": str(tmp_path / "storage")}
            script = PROJECT / "dashboard" / "server.py"
            servers.append(stack.enter_context(served(script, tmp_path / name, environment, tmp_path / name)))
        pages = [browser.new_page() for _ in servers]
        for page, server in zip(pages, servers, strict=True):
            page.goto(f"{server.address}/run")
        pool = stack.enter_context(ThreadPoolExecutor(PEOPLE))
        people = [pool.submit(person, url, tmp_path, seed, time.monotonic() + SECONDS) for seed in range(PEOPLE)]
        while not all(one.done() for one in people):
            _look(pages)
            pages[0].wait_for_timeout(1000)
        submitted, deleted = (set().union(*ids) for ids in zip(*(one.result() for one in people), strict=True))
        queue = Queue(Store(url))
        queue.cancel_all()
        until(lambda: not queue.active(), LONGEST_END)
        _look(pages)
    for name in ("first", "second"):
        log = (tmp_path / name / "server.log").read_text()
        assert "Traceback" not in log and "deadlock" not in log.lower(), log[-2000:]
    jobs = queue.jobs(100_000)
    assert {job.id for job in jobs} | deleted == submitted and not {job.id for job in jobs} & deleted
    assert {job.state for job in jobs} <= {"done", "cancelled"}, [job.error for job in jobs if job.state == "failed"]
    assert all(queue.store.stored(job.spec.variant.key).measurements for job in jobs if job.state == "done")
