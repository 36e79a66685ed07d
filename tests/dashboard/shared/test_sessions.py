"""Sessions reuse the points and charts of another session, and all of them show new rows."""

import json
from unittest.mock import Mock

import pytest

from core.findings.rows import points
from dashboard.shared import widgets
from tests.dashboard.opened import charts, open_app
from tests.synthetic import result


@pytest.fixture
def computed(monkeypatch):
    """Functions that compute points or charts, which count their calls."""
    spies = [Mock(wraps=points.collapsed), Mock(wraps=widgets._clickable)]
    monkeypatch.setattr(points, "collapsed", spies[0])
    monkeypatch.setattr(widgets, "_clickable", spies[1])
    return spies


def test_a_second_session_recomputes_no_points_or_charts(filled, computed):
    first = open_app()
    once = [spy.call_count for spy in computed]
    assert all(once)
    second = open_app()
    assert [spy.call_count for spy in computed] == once
    assert [chart.proto.spec for chart in charts(first)] == [chart.proto.spec for chart in charts(second)]


def test_a_new_row_appears_in_all_sessions(filled):
    first = open_app()
    before = _values(first)
    filled.put(result("wanda", 777.25, 0.65))
    assert _values(open_app()) - before == {777.25}
    assert _values(first.run()) - before == {777.25}


def _values(app):
    """Return the perplexities of the points on the curve."""
    spec = json.loads(charts(app)[0].proto.spec)
    return {point[2] for trace in spec["data"] for point in trace.get("customdata", ())}
