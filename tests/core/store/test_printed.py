"""The papers' values as results."""

import pytest

from core.base.errors import UserError
from core.findings.numbers.frame import tidy
from core.request.stages import variant_spec
from core.store import bundled
from core.store.paper_results import models_of, paper_results


@pytest.fixture(scope="module")
def frame():
    return tidy(paper_results().values())


def test_every_published_value_appears_once(frame):
    rows = bundled.published()
    wanted = rows[rows["measure"] != ""]
    assert len(frame) == len(wanted) > 300
    found = frame["value"].where(frame["metric"] == "perplexity", 100 * frame["value"])
    assert sorted(round(value, 6) for value in found) == sorted(round(value, 6) for value in wanted["value"])
    assert set(frame["origin"]) == {"published"} and frame["stderr"].isna().all()


def test_a_published_value_has_its_series_and_protocol(frame):
    row = frame.query("model == 'opt-13b' and pattern == '2:4' and dataset == 'wikitext2'").squeeze()
    assert (row["series_label"], row["value"], row["window"]) == ("SparseGPT (published)", 12.96, 2048)
    assert row["protocol"] == "window 2048, all windows, paper SparseGPT, table 1, unknown precision"
    tuned = frame.query("model == 'llama-7b' and series_label == 'SlimLLM + LoRA (published)'")
    assert set(tuned["parent_label"]) == {"SlimLLM (published)"} and set(tuned["ratio"]) == {0.2, 0.5}
    models = models_of(paper_results().values())  # sorted by size
    assert models[0] == "opt-125m" and models[-1] == "opt-175b" and {"llama-7b", "llama-2-7b"} < set(models)


def test_published_results_cannot_be_reproduced():
    for result in paper_results().values():
        assert result.variant.is_external and result.footprint is None
    pruned = next(one for one in paper_results().values() if one.variant.method != "dense")
    with pytest.raises(UserError, match="was published without its stages, so it cannot be reproduced"):
        variant_spec(pruned.variant)
