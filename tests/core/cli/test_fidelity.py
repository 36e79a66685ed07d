"""The comparison with the dense model on the command line: its numbers, their reuse, and the commands for it."""

import json
import re

import pandas
import pytest

from core import api
from core.cli.app import main
from core.engine import execute
from core.engine.fidelity import compare
from core.findings.numbers.differences import tidy_with_differences
from core.findings.numbers.paired import distance_interval
from core.metrics import FIDELITY
from core.models.sources import identify, load_model, load_tokenizer
from core.specs import Perplexity
from core.store.store import Store
from tests.core.evaluation.test_divergence import changed

pytestmark = pytest.mark.usefixtures("machine")
RUN = ["run", "./tiny", "rtn@3bit,group_size=0", "--perplexity", "text.txt@24:4"]


def rows_of(key):
    return {row.metric: row for row in Store().stored(key).measurements}


@pytest.fixture
def ran(capsys):
    assert main([*RUN, "--fidelity", "--json"]) == 0
    return json.loads(capsys.readouterr().out)["variant"]["key"]


def test_a_stored_perplexity_gets_its_comparison_later_and_once(capsys, monkeypatch):
    assert main([*RUN, "--json"]) == 0
    before = json.loads(capsys.readouterr().out)
    assert [row["metric"] for row in before["measurements"]] == ["perplexity"]
    assert main([*RUN, "--fidelity"]) == 0
    rows = rows_of(before["variant"]["key"])
    assert set(rows) == {"perplexity", *FIDELITY}
    assert rows["perplexity"].value == before["measurements"][0]["value"]
    capsys.readouterr()
    monkeypatch.setattr(execute, "perplexity", lambda *_: pytest.fail("computed"))
    assert main([*RUN, "--fidelity"]) == 0
    shown = capsys.readouterr().out
    assert "kl" in shown and "agreement" in shown and "--fidelity" in shown
    assert main(RUN) == 0
    assert "3 other numbers of this variant are stored" in capsys.readouterr().out


def test_lists_have_the_differences_and_intervals_of_distances(ran, capsys):
    assert main(["run", "./tiny", "rtn@6bit,group_size=0", *RUN[3:], "--fidelity", "--json"]) == 0
    finer = json.loads(capsys.readouterr().out)["variant"]["key"]
    first, second = (rows_of(key) for key in (ran, finer))
    assert main(["compare", ran, finer, "--json"]) == 0
    found = {row["metric"]: row for row in json.loads(capsys.readouterr().out)}
    assert set(found) == {"perplexity", "kl", "agreement"}
    for metric in ("kl", "agreement"):
        row = found[metric]
        assert row["difference"] == pytest.approx(second[metric].value - first[metric].value)
        assert row["low"] <= row["difference"] <= row["high"]
    assert main(["compare", ran, finer]) == 0
    assert " nats" in capsys.readouterr().out
    table = tidy_with_differences(Store().results(), Store().samples)
    table = table[table["key"] == ran].set_index("metric")
    row, stored = table.loc["kl"], first["kl"]
    assert row["difference"] == pytest.approx(stored.value) and pandas.isna(row["unpaired_reason"])
    assert (row["difference_low"], row["difference_high"]) == pytest.approx(distance_interval(stored))
    assert table.loc["agreement", "difference"] == pytest.approx(first["agreement"].value - 1)
    assert pandas.isna(row["verdict"])


@pytest.mark.parametrize("option", ["--json", "--csv", "--tsv", "--latex", None])
def test_any_model_is_compared_and_printed_in_each_format(option, tmp_path, capsys):
    changed(load_model(identify("./tiny")), 0.5).save_pretrained(tmp_path / "other")
    load_tokenizer(identify("./tiny")).save_pretrained(tmp_path / "other")
    models = "./tiny", str(tmp_path / "other")
    assert main(["fidelity", *models, "--perplexity", "text.txt@24:4", *filter(None, [option])]) == 0
    out, err = capsys.readouterr()
    (found,) = compare(*models, [Perplexity.parse("text.txt@24:4")])
    if option == "--json":
        assert json.loads(out) == found.records == api.fidelity(*models, perplexity="text.txt@24:4").to_dict("records")
    if option is None:
        assert f"{found.models[1]} compared with {found.models[0]}, in float32" in out and "fewer than 8 windows" in err
    lines = out.replace("\\_", "_").splitlines()
    for name, value, *_ in found.numbers if option != "--json" else ():
        (line,) = (one for one in lines if re.search(rf"(^|,|\t){re.escape(name)}( *&|,|\t|  )", one))
        assert (repr(value) if option == "--csv" else f"{value:.4f}"[:3]) in line
