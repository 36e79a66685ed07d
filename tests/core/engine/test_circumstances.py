"""The circumstances of a stage: its time, and what other programs used meanwhile."""

import os

from core.engine import circumstances
from core.engine.circumstances import Watch


def test_a_watch_tells_other_programs_from_its_own(monkeypatch):
    times = iter([(100.0, 40.0, 7.0), (110.0, 55.0, 17.0)])  # of the clock, of all cores, of this process
    monkeypatch.setattr(circumstances, "_times", lambda: next(times))
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    assert Watch().read() == {"seconds": 10.0, "other_load": 0.25}


def test_work_of_its_own_is_no_load_of_others():
    watch = Watch()
    total = sum(range(3_000_000))
    found = watch.read()
    assert total and found["seconds"] > 0 and 0 <= found["other_load"] <= 1.1
    assert circumstances.circumstances(None, "cpu")["device"].startswith("cpu (")
