"""The benchmark of sessions opens the pages of a real server."""

import pytest

from benchmarks.dashboard.sessions import PAGES, measure, measure_side, started
from core.base.paths import PROJECT

pytestmark = pytest.mark.full


def test_sessions_at_once_see_the_whole_page(monkeypatch):
    monkeypatch.delenv("SLIMSCOPE_DB", raising=False)
    monkeypatch.setattr("benchmarks.dashboard.sessions.FEWEST", 2)
    (load,) = measure_side(PROJECT, 2, writing=True)
    assert [visit.charts for visit in load.visits] == [2, 2]
    assert 0 < load.median <= load.percentile and load.cpu > 0 and load.memory > 100


@pytest.mark.parametrize("page", PAGES)
def test_each_page_of_the_benchmark_has_a_chart_or_is_that_of_methods(page, server):
    (visit,) = measure(server, 1, *PAGES[page]).visits
    assert (visit.charts > 0) == (page != "Methods")


@pytest.fixture(scope="module")
def server():
    with started(PROJECT) as (address, _):
        yield address
