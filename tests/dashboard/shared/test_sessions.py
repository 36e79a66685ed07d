"""Sessions reuse the points and charts of another session, and all of them show new rows."""

import json
from unittest.mock import Mock

import pytest

from core.findings.rows import points
from dashboard import data
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


@pytest.fixture
def paused(filled, monkeypatch):
    """The shown perplexities after one change, during the pause for further changes."""
    _shown()
    monkeypatch.setattr(data, "PAUSE", 1000.0)
    filled.put(result("wanda", 777.25, 0.65))
    return _shown()


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


def test_a_changed_or_deleted_number_is_replaced(filled, monkeypatch):
    monkeypatch.setattr(data, "PAUSE", 0.0)
    before, added = _shown(), result("wanda", 777.25, 0.65)
    filled.put(added)
    assert _shown() - before == {777.25}
    filled.put(result("wanda", 666.5, 0.65))
    assert _shown() - before == {666.5}
    filled.delete(added.variant.key)
    assert _shown() == before


def test_continuous_changes_appear_together_after_the_pause(filled, paused, monkeypatch):
    filled.put(result("wanda", 666.5, 0.75))
    assert 777.25 in paused and _shown() == paused
    filled.delete(result("wanda", 777.25, 0.65).variant.key)  # as many rows as before
    assert _shown() == paused
    assert charts(open_app(explore_mode="Trade-off"))
    monkeypatch.setattr(data, "PAUSE", 0.0)
    assert _shown() ^ paused == {777.25, 666.5}


def test_a_point_deleted_on_the_page_disappears_at_once(filled, paused):
    filled.put(result("wanda", 666.5, 0.75))
    filled.put(result("wanda", 555.5, 0.85))
    app = open_app(explore_point="wanda@0.65")
    before = _values(app)
    app.button(key="explore_delete").click().run()
    assert (before - _values(app), _values(app) - before) == ({777.25}, {666.5, 555.5})


def _shown():
    """Return the perplexities that pages have."""
    rows = data.frame("smollm2-135m")
    return set(rows.loc[rows["metric"] == "perplexity", "value"])


def _values(app):
    """Return the perplexities of the points on the curve."""
    spec = json.loads(charts(app)[0].proto.spec)
    return {point[2] for trace in spec["data"] for point in trace.get("customdata", ())}
