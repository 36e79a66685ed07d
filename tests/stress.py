"""Two dashboards with two workers each at one PostgreSQL, while people queue, cancel, move, repeat and delete jobs.

    python -m tests.stress [--seconds 600]

Afterwards no page has an error box, no log has a traceback, each job is in an end state or deleted, and each job that
is done has its numbers.
"""

import os
import random
import threading
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import mock

import typer
from playwright.sync_api import Browser

from core.errors import UserError
from core.jobs.queue import Queue
from core.paths import PROJECT
from core.request.complete import complete
from core.specs import Perplexity, RunSpec, TextWindows
from core.store.store import Store
from tests import postgres
from tests.core.tiny_folder import write_tiny_folder
from tests.e2e.browser import chromium, served

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
        self.refused: Counter[str] = Counter()
        self.broken: str | None = None

    def run(self) -> None:
        acts = (*[self.submit] * 8, *[self.move] * 8, self.cancel, self.delete, self.retry)
        try:
            while time.monotonic() < self.end:
                try:
                    self.draw.choice(acts)()
                except UserError as error:  # someone else was first
                    self.refused[str(error)] += 1
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


def stress(seconds: float, browser: Browser) -> str:
    """Run it and return its counts as one line; an `AssertionError` says what is wrong."""
    with ExitStack() as stack:
        place = Path(stack.enter_context(TemporaryDirectory()))
        write_tiny_folder(place)
        cache = {"SLIMSCOPE_CACHE": str(place / "cache")}  # one, as it holds where the model is
        stack.enter_context(mock.patch.dict(os.environ, cache))
        url = stack.enter_context(postgres.server()).new_database()
        servers = []
        for name in ("first", "second"):
            (place / name).mkdir()
            environment = {"SLIMSCOPE_RESULTS": str(place / name), "PYTHONPATH": str(PROJECT)}
            environment |= {"SLIMSCOPE_DB": url, "SLIMSCOPE_SLOTS": "2", "SLIMSCOPE_STORAGE": str(place / "storage")}
            script = PROJECT / "dashboard" / "server.py"
            servers.append(stack.enter_context(served(script, place / name, environment, place / name)))
        pages = [browser.new_page() for _ in servers]
        for page, server in zip(pages, servers, strict=True):
            page.goto(f"{server.address}/run")
        end = time.monotonic() + seconds
        people = [Person(url, place, seed, end) for seed in range(PEOPLE)]
        for person in people:
            person.start()
        while time.monotonic() < end:
            _look(pages)
            pages[0].wait_for_timeout(1000)
        for person in people:
            person.join(30)
            assert person.broken is None and not person.is_alive(), person.broken
        queue = people[0].queue
        queue.cancel_all()
        until = time.monotonic() + LONGEST_END
        while queue.active():
            assert time.monotonic() < until, f"{len(queue.active())} jobs have not ended."
            time.sleep(0.5)
        _look(pages)
        logs = [(place / name / "server.log").read_text() for name in ("first", "second")]
        return _counts(people, queue, logs)


def _look(pages: list) -> None:
    for page in pages:
        found = page.locator(ERRORS)
        assert not found.count(), found.first.inner_text()


def _counts(people: list[Person], queue: Queue, logs: list[str]) -> str:
    for log in logs:
        assert "Traceback" not in log and "deadlock" not in log.lower(), log[-2000:]
    jobs = queue.jobs(100_000)
    submitted = set.union(*(person.submitted for person in people))
    deleted = set.union(*(person.deleted for person in people))
    assert {job.id for job in jobs} | deleted == submitted and not {job.id for job in jobs} & deleted
    states = Counter(job.state for job in jobs)
    assert set(states) <= {"done", "cancelled"}, [job.error for job in jobs if job.state == "failed"]
    for job in jobs:
        if job.state == "done":
            assert queue.store.stored(job.spec.variant.key).measurements
    refused = sum(sum(person.refused.values()) for person in people)
    return (
        f"{len(submitted)} jobs: {states['done']} done, {states['cancelled']} cancelled, {len(deleted)} deleted; "
        f"{len(queue.store.own())} variants stored; {refused} actions came too late"
    )


def main(seconds: float = 600.0) -> None:
    """Print the counts."""
    with chromium() as browser:
        print(stress(seconds, browser))


if __name__ == "__main__":
    typer.run(main)
