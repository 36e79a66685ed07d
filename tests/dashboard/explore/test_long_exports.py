"""The long CSV of a chart has the columns and units of `slimscope results --csv`."""

import pytest

from core.analysis.differences import tidy_with_differences
from core.analysis.seven import MEAN
from dashboard.exports.files import Chart
from dashboard.shared import widgets
from tests.dashboard.opened import open_app
from tests.dashboard.synthetic import put_answered, result

# Columns of points, which `results --csv` has no equal of: bars, counts and baselines.
OF_POINTS = {"amount_label", "low", "high", "seeds", "chance", "majority"}


@pytest.fixture
def rows(store):
    """The rows of `results --csv` of a dense model and two methods with outcomes."""
    for seed, one in enumerate([result("dense", 20.0), result("magnitude", 400.0, 0.5), result("wanda", 44.0, 0.5)]):
        put_answered(store, one, seed)
    return tidy_with_differences(list(store.results()), store.samples)


@pytest.fixture
def exported(monkeypatch):
    """Open Explore and return the tables of its exported charts by name."""
    items = []
    monkeypatch.setattr(widgets, "export_page", lambda name, page: items.extend(page()))

    def charts(**address):
        items.clear()
        open_app(**address)
        return {item.name: item.table for item in items if isinstance(item, Chart)}

    return charts


def numbers(table, column):
    """Return a column by series and dataset, without the means, which `results` does not list."""
    table = table[table["dataset"] != MEAN]
    return {(row["series_label"], row["dataset"]): row[column] for row in table.to_dict("records")}


def test_every_column_is_one_of_results_or_of_points(rows, exported):
    tables = exported()
    assert len(tables) == 2
    for table in tables.values():
        assert set(table) <= {*rows, *OF_POINTS} and {"series_label", "chain", "ratio"} <= set(table)


@pytest.mark.parametrize("shown", ["Accuracy", "Difference to dense"])
def test_accuracies_are_the_numbers_of_results(shown, rows, exported):
    (table,) = [one for name, one in exported(explore_as=shown).items() if "accuracy" in name]
    column = "value" if "value" in table else "difference"
    every = numbers(rows[rows["metric"] != "perplexity"], column)
    found = numbers(table, column)
    assert len(found) == 14 and found == pytest.approx({place: every[place] for place in found})
