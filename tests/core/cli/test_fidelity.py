"""The comparison with the dense model on the command line: its numbers, their reuse, and the commands for it."""

import io
import json

import pandas
import pytest
import torch

from core.analysis.distances import distance_interval
from core.cli.app import main
from core.data.corpora import open_corpus
from core.data.windows import evaluation_windows
from core.engine import measure
from core.models.manifest import load_model_folder
from core.models.sources import identify, load_model, load_tokenizer
from core.paths import cached_variant
from core.results import FIDELITY
from core.store.store import Store

pytestmark = pytest.mark.usefixtures("machine")
RUN = ["run", "./tiny", "rtn@3bit,group_size=0", "--perplexity", "text.txt@24:4"]


def rows_of(key):
    return {row.metric: row for row in Store().stored(key).measurements}


@pytest.fixture
def ran(capsys):
    assert main([*RUN, "--fidelity", "--json"]) == 0
    return json.loads(capsys.readouterr().out)["variant"]["key"]


def test_the_numbers_equal_those_of_whole_logits(ran):
    source = identify("./tiny")
    tokens = evaluation_windows(open_corpus("text.txt"), load_tokenizer(source), 24, 4)
    with torch.no_grad():
        first, second = (
            model(input_ids=tokens).logits[:, :-1].double().log_softmax(-1)
            for model in (load_model(source), load_model_folder(cached_variant(ran), "float32"))
        )
    kl, agrees = (first.exp() * (first - second)).sum(-1), first.argmax(-1) == second.argmax(-1)  # (N, L - 1)
    rows = rows_of(ran)
    assert rows["kl"].value == pytest.approx(kl.mean().item(), abs=1e-5) and rows["kl"].value > 1e-4
    assert rows["kl_p99"].value == pytest.approx(kl.flatten().quantile(0.99).item(), abs=1e-5)
    assert rows["kl_p99"].details["low"] <= rows["kl_p99"].value <= rows["kl_p99"].details["high"]
    assert rows["agreement"].value == pytest.approx(agrees.double().mean().item(), abs=1e-6)
    assert rows["kl"].n == 4 and rows["kl"].stderr > 0
    samples = Store().samples(ran, rows["kl"])
    assert samples["kl"].mean() == pytest.approx(rows["kl"].value) and len(samples) == 4


def test_dense_has_no_distance_to_itself(ran):
    assert FIDELITY[0] not in rows_of(Store().stored(ran).variant.dense_key)
    assert main(["run", "./tiny", "dense", "--perplexity", "text.txt@24:4", "--fidelity"]) == 0


def test_stored_numbers_are_not_computed_again(ran, capsys, monkeypatch):
    monkeypatch.setattr(measure, "perplexity", lambda *_: pytest.fail("computed"))
    assert main([*RUN, "--fidelity"]) == 0
    shown = capsys.readouterr().out
    assert "kl" in shown and "agreement" in shown and "--fidelity" in shown
    assert main(RUN) == 0
    assert "3 other numbers of this variant are stored" in capsys.readouterr().out


def test_a_stored_perplexity_gets_its_comparison_later(capsys):
    assert main([*RUN, "--json"]) == 0
    before = json.loads(capsys.readouterr().out)
    assert [row["metric"] for row in before["measurements"]] == ["perplexity"]
    assert main([*RUN, "--fidelity"]) == 0
    rows = rows_of(before["variant"]["key"])
    assert set(rows) == {"perplexity", *FIDELITY}
    assert rows["perplexity"].value == before["measurements"][0]["value"]


def test_a_sweep_compares_each_variant(capsys):
    sweep = ["sweep", "--models", "./tiny", "--chain", "rtn@3bit,group_size=0", "--chain", "rtn@4bit,group_size=0"]
    assert main([*sweep, "--perplexity", "text.txt@24:4", "--fidelity", "--tsv"]) == 0
    header, *rows = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    place = next(place for place, name in enumerate(header) if name.startswith("kl text.txt"))
    values = [row[place] for row in rows]
    assert values[0] == "" and float(values[1].split()[0]) > float(values[2].split()[0]) > 0


def test_two_variants_are_compared_in_divergence_and_agreement(ran, capsys):
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


def test_the_csv_has_the_interval_of_a_distance_and_no_reason_for_a_missing_pair(ran, capsys):
    assert main(["results", "--csv"]) == 0
    table = pandas.read_csv(io.StringIO(capsys.readouterr().out)).set_index("metric")
    row, stored = table.loc["kl"], rows_of(ran)["kl"]
    assert row["difference"] == pytest.approx(stored.value) and pandas.isna(row["unpaired_reason"])
    assert (row["difference_low"], row["difference_high"]) == pytest.approx(distance_interval(stored))
    assert table.loc["agreement", "difference"] == pytest.approx(rows_of(ran)["agreement"].value - 1)
    assert pandas.isna(table.loc["kl", "verdict"])
