"""Pages show continuous changes every `PAUSE` seconds, and a single change, a deleted row or an action at once."""

import pytest

from dashboard.data import PAUSE, Renewal


class Rows:
    """A store's counts by model, and a clock."""

    def __init__(self):
        self.time, self.stamps = 100.0, {None: ((3, 3), ()), "a": ((2, 2), ()), "b": ((1, 3), ())}
        self.renewal = Renewal(lambda model: self.stamps[model], lambda: self.time)

    def store(self, model, rows=1):
        (count, change), files = self.stamps[None]
        self.stamps[None] = (count + rows, change + 1), files
        self.stamps[model] = (self.stamps[model][0][0] + rows, change + 1), files

    def shown(self, model=None):
        return self.renewal.stamp(model).stamp == self.stamps[model]


@pytest.fixture
def rows():
    made = Rows()
    assert all(made.shown(model) for model in made.stamps)
    return made


def test_a_single_change_shows_at_once_and_continuous_ones_after_the_pause(rows):
    rows.store("a")
    assert rows.shown() and rows.shown("a")
    rows.time += PAUSE - 0.1
    rows.store("a")
    assert not rows.shown() and not rows.shown("a")
    rows.time += 0.1
    assert rows.shown("a") and rows.shown()


def test_all_models_show_the_same_state(rows):
    rows.store("a")
    assert rows.shown("a")
    rows.time += 1
    rows.store("b")
    rows.time += 1
    assert rows.shown("b")
    rows.store("a")
    assert not rows.shown("a") and not rows.shown()


def test_rows_of_another_model_change_no_stamp(rows):
    before = rows.renewal.stamp("b")
    rows.store("a")
    assert rows.shown() and rows.renewal.stamp("b") is before


def test_a_deleted_row_and_an_action_on_a_page_show_at_once(rows):
    rows.store("a")
    assert rows.shown()
    rows.store("a", rows=-1)
    assert rows.shown() and rows.shown("a")
    rows.store("a", rows=0)
    assert not rows.shown()
    rows.renewal.show_now()
    assert rows.shown() and rows.shown("a")


def test_a_repeated_stamp_is_a_new_state(rows):
    before, stamp = rows.renewal.stamp("a"), rows.stamps["a"]
    rows.store("a")
    during = rows.renewal.stamp("a")
    rows.stamps["a"] = stamp
    after = rows.renewal.stamp("a")
    assert after.stamp == before.stamp and len({before, during, after}) == 3
