"""Sessions share tables that nobody can change, and results that the first of them computes."""

import warnings
from contextlib import suppress
from functools import partial
from threading import Barrier, Thread

import pandas as pd
import pytest

from core.findings import sharing
from core.findings.sharing import SharedTable, shared

PLAIN = pd.DataFrame({"method": ["wanda", "magnitude"], "value": [30.0, 50.0]})
CHANGES = {
    "a new column": lambda table: table.__setitem__("new", 1),
    "a column's values": lambda table: table.__setitem__("value", 1.0),
    "an attribute": lambda table: setattr(table, "value", 1.0),
    "the names of columns": lambda table: setattr(table, "columns", ["a", "b"]),
    "a column is inserted": lambda table: table.insert(0, "new", 1),
    "a column is removed": lambda table: table.pop("value"),
    "sorted in place": lambda table: table.sort_values("value", ascending=False, inplace=True),
    "filled in place": lambda table: table.fillna(0, inplace=True),
    "updated": lambda table: table.update(pd.DataFrame({"value": [1.0, 1.0]})),
    "loc": lambda table: table.loc.__setitem__((0, "value"), 1.0),
    "iloc": lambda table: table.iloc.__setitem__((0, 1), 1.0),
    "at": lambda table: table.at.__setitem__((0, "value"), 1.0),
    "iat": lambda table: table.iat.__setitem__((0, 1), 1.0),
    "a row is added": lambda table: table.loc.__setitem__(5, ["new", 1.0]),
    "a column's array": lambda table: table["value"].to_numpy().__setitem__(0, 1.0),
    "a column's cell": lambda table: table["value"].iloc.__setitem__(0, 1.0),
}


class Counted:
    """A function with cached results, and how often it was computed."""

    def __init__(self, compute):
        self.calls = 0
        self._compute = compute

        def counted(*args, **kwargs):
            self.calls += 1
            return compute(*args, **kwargs)

        self.function = shared(counted)

    def __call__(self, *args, **kwargs):
        return self.function(*args, **kwargs)


@pytest.fixture
def cheap():
    return Counted(lambda table, *names, least=0.0: table[table["method"].isin(names) & (table["value"] > least)])


@pytest.mark.parametrize("change", CHANGES)
def test_a_shared_table_cannot_be_changed(change):
    table = SharedTable(PLAIN)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with suppress(TypeError, ValueError):
            CHANGES[change](table)
    assert table.to_dict("list") == {"method": ["wanda", "magnitude"], "value": [30.0, 50.0]}
    with pytest.raises(TypeError, match="change a copy of it"):
        table["new"] = 1


def test_tables_derived_from_a_shared_table_can_be_changed():
    table = SharedTable(PLAIN)
    for derived in (table.copy(), table[table["value"] > 1], table.assign(a=1), pd.concat([table, table])):
        assert type(derived) is pd.DataFrame
        derived.loc[derived.index[0], "value"] = 1.0
        derived["new"] = 1
    pd.testing.assert_frame_equal(pd.DataFrame(table), PLAIN)
    warned = PLAIN.copy()
    warned.attrs["warnings"] = ("one",)
    assert SharedTable(warned).attrs == {"warnings": ("one",)}


def test_equal_arguments_are_computed_once(cheap):
    table = SharedTable(PLAIN)
    first = cheap(table, "wanda", least=1.0)
    assert isinstance(first, SharedTable) and list(first["method"]) == ["wanda"]
    assert cheap(table, "wanda", least=1.0) is first and cheap.calls == 1
    assert len(cheap(table, "wanda", "magnitude")) == 2 and cheap.calls == 2
    assert len(cheap(table, "wanda", least=40.0)) == 0 and cheap.calls == 3
    cheap(SharedTable(PLAIN), "wanda", least=1.0)  # another table with the same rows
    assert cheap.calls == 4


def test_results_of_an_ordinary_table_are_not_cached(cheap):
    table = PLAIN.copy()
    assert type(cheap(table, "wanda")) is pd.DataFrame
    table["method"] = "wanda"
    assert len(cheap(table, "wanda")) == 2


def test_values_of_different_types_are_different_arguments():
    kind = Counted(lambda table, value: type(value).__name__)
    table = SharedTable(PLAIN)
    assert [kind(table, value) for value in (1, 1.0, True, "1", None)] == ["int", "float", "bool", "str", "NoneType"]
    assert [kind(table, value) for value in ([1], (1,), {1}, {"a": 1})] == ["list", "tuple", "set", "dict"]


def test_results_of_cached_results_are_cached(cheap):
    size = Counted(len)
    table = SharedTable(PLAIN)
    assert size(cheap(table, "wanda")) == size(cheap(table, "wanda")) == 1
    assert (cheap.calls, size.calls) == (1, 1)


def test_a_list_is_returned_as_a_copy_and_tables_in_a_tuple_are_shared():
    names = Counted(lambda table: list(table["method"]))
    table = SharedTable(PLAIN)
    names(table).append("more")
    assert names(table) == ["wanda", "magnitude"] and names.calls == 1
    first, rest = Counted(lambda table: (table[:1], table[1:]))(table)
    assert isinstance(first, SharedTable) and isinstance(rest, SharedTable)


def test_a_partial_function_is_cached_but_a_lambda_is_not():
    drawn = Counted(lambda draw, theme: draw(theme))
    table = SharedTable(PLAIN)
    for _ in range(2):
        assert drawn(partial(describe, table), "light") == "2 light"
    assert drawn.calls == 1
    for _ in range(2):
        assert drawn(lambda theme: describe(table, theme), "light") == "2 light"
    assert drawn.calls == 3


def describe(table, theme):
    return f"{len(table)} {theme}"


def test_concurrent_callers_compute_once():
    size, start, found = Counted(len), Barrier(8), []
    table = SharedTable(PLAIN)

    def call():
        start.wait(10)
        found.append(size(table))

    threads = [Thread(target=call) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert found == [2] * 8 and size.calls == 1


def test_an_error_is_not_cached():
    answers = iter((ZeroDivisionError, 3))

    def unsure(table):
        answer = next(answers)
        if answer == 3:
            return answer
        raise answer

    function, table = shared(unsure), SharedTable(PLAIN)
    with pytest.raises(ZeroDivisionError):
        function(table)
    assert function(table) == 3


def test_the_least_recently_used_results_are_dropped(monkeypatch):
    memory = sharing._Memory()
    monkeypatch.setattr(sharing, "_MEMORY", memory)
    monkeypatch.setattr(sharing, "LIMIT", 4 * (sharing.SMALL + sharing.CELL * 10_000))
    table = SharedTable(PLAIN)
    large = Counted(lambda table, seed: pd.DataFrame({"value": range(10_000)}))
    for seed in (1, 2, 3, 1, 4, 5):
        large(table, seed)
    assert memory.size <= sharing.LIMIT and len(memory.entries) == 4
    assert large.calls == 5
    large(table, 1)
    assert large.calls == 5
    large(table, 2)
    assert large.calls == 6


def test_a_function_of_a_page_script_is_rejected():
    with pytest.raises(TypeError, match="Define found in a module"):
        exec("@shared\ndef found(table): ...", {"__name__": "__main__", "shared": shared})
