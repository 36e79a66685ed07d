"""Two dashboards with two workers each at one PostgreSQL, while people queue, cancel, move, repeat and delete jobs.

Afterwards no page has an error box, no log has a traceback, each job is in an end state or deleted, and each job that
is done has its numbers.
"""

import random
import threading
import time
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from core.errors import UserError
from core.jobs.queue import Queue
from core.paths import PROJECT
from core.request.complete import complete
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


class Person(threading.Thread):
    """Someone who acts on the queue at random until `end`."""

    def __init__(self, url: str, folder: Path, seed: int, end: float):
        super().__init__(daemon=True)
        self.queue = Queue(Store(url))
        self.folder, self.draw, self.end = folder, random.Random(seed), end
        self.submitted: set[int] = set()
        self.deleted: set[int] = set()
        self.broken: str | None = None

    def run(self) -> None:
        acts = (*[self.submit] * 8, *[self.move] * 8, self.cancel, self.delete, self.retry)
        try:
            while time.monotonic() < self.end:
                with suppress(UserError):  # someone else was first
                    self.draw.choice(acts)()
                time.sleep(PAUSE_SECONDS * self.draw.random())
        except Exception as error:
            self.broken = f"{type(error).__name__}: {error}"

    def submit(self) -> None:
        if len(self.queue.active()) < WAITING:
            self.submitted.add(self.queue.submit(self._spec()))

    def cancel(self) -> None:
        if found := self.queue.active():
            self.queue.cancel(self.draw.choice(found).id)

    def move(self) -> None:
        if found := self.queue.active():
            self.queue.move(self.draw.choice(found).id, later=self.draw.random() < 0.5)

    def delete(self) -> None:
        if found := self.queue.ended():
            job_id = self.draw.choice(found).id
            self.queue.delete(job_id)
            self.deleted.add(job_id)

    def retry(self) -> None:
        if found := self.queue.ended():
            self.submitted.add(self.queue.retry(self.draw.choice(found).id))

    def _spec(self) -> RunSpec:
        text = str(self.folder / "text.txt")
        return complete(
            str(self.folder / "tiny"),
            f"{self.draw.choice(('wanda', 'magnitude', 'sparsegpt'))}@0.{self.draw.randint(1, 8)}",
            calibration=TextWindows(corpus=text, windows=2, window=32),
            perplexity=[Perplexity(corpus=text, window=32, windows=2)],
            threads=1,
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
        people = [Person(url, tmp_path, seed, time.monotonic() + SECONDS) for seed in range(PEOPLE)]
        for person in people:
            person.start()
        while any(person.is_alive() for person in people):
            _look(pages)
            pages[0].wait_for_timeout(1000)
        assert [person.broken for person in people] == [None] * PEOPLE
        queue = people[0].queue
        queue.cancel_all()
        until(lambda: not queue.active(), LONGEST_END)
        _look(pages)
    for name in ("first", "second"):
        log = (tmp_path / name / "server.log").read_text()
        assert "Traceback" not in log and "deadlock" not in log.lower(), log[-2000:]
    jobs = queue.jobs(100_000)
    submitted = set.union(*(one.submitted for one in people))
    deleted = set.union(*(one.deleted for one in people))
    assert {job.id for job in jobs} | deleted == submitted and not {job.id for job in jobs} & deleted
    assert {job.state for job in jobs} <= {"done", "cancelled"}, [job.error for job in jobs if job.state == "failed"]
    assert all(queue.store.stored(job.spec.variant.key).measurements for job in jobs if job.state == "done")
