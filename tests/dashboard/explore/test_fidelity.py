"""KL divergence and top-1 agreement on Explore: in the table of the points, and as limits of a budget."""

import pytest

from core.metrics import metric
from core.results import KL
from dashboard import data
from dashboard.shared import widgets
from tests import synthetic
from tests.dashboard.explore.given import ranked
from tests.dashboard.opened import open_app
from tests.synthetic import curve

VALUES = {"wanda": (0.4, 2.5, 0.72), "sparsegpt": (0.2, 1.5, 0.81)}  # FIDELITY at 50 %


@pytest.fixture(scope="module")
def compared(example):
    for method, values in VALUES.items():
        one = next(one for one in curve() if one.variant.method == method and one.variant.ratio == 0.5)
        example.put(synthetic.compared(one, *values))
    data.show_now()


def test_the_table_of_points_and_its_exports_have_fidelity_where_it_is_measured(compared, monkeypatch):
    items = []
    monkeypatch.setattr(widgets, "export_page", lambda name, page: items.extend(page()))
    app = open_app()
    table = next(one.value for one in app.dataframe if "Times dense" in one.value)
    at_half = table[table["Amount"] == "50 %"].set_index("Method")
    for method, (kl, _, agreement) in zip(("Wanda", "SparseGPT"), VALUES.values(), strict=True):
        assert at_half.loc[method, metric("kl").title] == kl
        assert at_half.loc[method, metric("agreement").title] == pytest.approx(100 * agreement)
    assert table.loc[table["Amount"] != "50 %", metric("kl").title].isna().all()
    (points,) = [item for item in items if item.name.endswith("-points")]
    found = {pivot.title: pivot for pivot in points.pivots}
    for title, place, times in ((metric("kl").title, 0, 1), (metric("agreement").title, 2, 100)):
        cells = {series: cell.value for (series, amount), cell in found[title].cells.items() if amount == "50 %"}
        assert cells == {
            name: pytest.approx(times * VALUES[method][place])
            for name, method in (("Wanda", "wanda"), ("SparseGPT", "sparsegpt"))
        }
    assert found[metric("kl").title].lower_is_better and not found[metric("agreement").title].lower_is_better


@pytest.mark.parametrize(
    ("limit", "sentence", "fact"),
    [
        ({"agreement": 0.8}, "at least 80 % top-1 agreement", "81 % top-1 agreement"),
        ({"kl": 0.3}, " and 0.3 nats of KL divergence", "0.2 nats of KL divergence"),
    ],
)
def test_fidelity_limits_a_budget(compared, limit, sentence, fact):
    _, shown, answer, _ = ranked(packed_mb=200, **limit)
    assert sentence in answer and "**SparseGPT, 50 %**" in answer and fact in answer
    assert [name.split(" +")[0] for name in shown["Method"]] == ["SparseGPT"]
    column, value = (metric("kl").title, 0.2) if KL in limit else (metric("agreement").title, 81)
    assert shown[column].tolist() == [pytest.approx(value)]
    dense = ranked(kl=0.001, agreement=1).table  # which satisfies every limit
    assert dense[["Method", metric("kl").title, metric("agreement").title]].to_numpy().tolist() == [["Dense", 0, 100]]
