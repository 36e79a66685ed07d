"""The commands `results` and `laws`: their rows, order and columns, one result in full, and which law predicts best."""

import csv
import io
import json
import math

import pandas
import pytest

from core.base import paths
from core.cli import laws
from core.cli.app import main
from core.cli.printing.console import output
from core.data.cards import SEVEN, TASKS
from core.findings.laws import report
from core.results import Measurement
from core.specs import Stage, TextWindows, VariantSpec
from core.store.bundled import append_shipped
from core.store.store import Store
from tests.core.factories import make, perplexity
from tests.core.notation.latex import check_table

pytestmark = pytest.mark.usefixtures("machine")

DENSE = Stage(method="dense")
HALF = Stage(method="magnitude", ratio=0.5)


def wanda(text="c4-sample:16x2048", seed=0, ratio=0.5):
    return Stage(method="wanda", ratio=ratio, calibration=TextWindows.parse(text), seed=seed)


def result(stage, value, *more, model="m", packed=300):
    """A result of one stage with a perplexity and more rows."""
    key = VariantSpec(model=model, revision="r", stages=(stage,)).key
    found = make(perplexity(value), *more, key=key, stages=(stage,), model=model)
    return found.model_copy(update={"footprint": found.footprint.model_copy(update={"packed_bytes": packed})})


def accuracies(value):
    more = {"value": value, "n": 40, "protocol": {"limit": 40, "fewshot": 0, "dtype": "float32", "version": 1.0}}
    return [Measurement(metric=TASKS[name].metric, dataset=name, **more) for name in SEVEN]


@pytest.fixture
def stored():
    """The keys of four results of two models."""
    found = [
        result(DENSE, 20.0, *accuracies(0.6), packed=4_000_000),
        result(HALF, 90.0, *accuracies(0.4), packed=2_000_000),
        result(wanda(), 30.0, *accuracies(0.5), packed=3_000_000),
        result(HALF, 55.0, model="other", packed=1_000_000),
    ]
    for one in found:
        Store().put(one)
    return [one.variant.key for one in found]


def shown(capsys, *arguments):
    """Return the rows of `results --tsv`, each by its column."""
    assert main(["results", *arguments, "--tsv"]) == 0, capsys.readouterr().err
    return list(csv.DictReader(io.StringIO(capsys.readouterr().out), delimiter="\t"))


def chains(rows):
    return [(row["model"], row["chain"]) for row in rows]


def test_results_are_filtered_by_model_and_chain(stored, capsys):
    Store().put(result(DENSE, 15.0, perplexity(16.0, dataset="ptb"), model="third"))
    assert chains(shown(capsys, "other")) == [("other", "magnitude@0.5")]
    assert chains(shown(capsys, "--chain", "magnitude@")) == [("m", "magnitude@0.5"), ("other", "magnitude@0.5")]
    assert chains(shown(capsys, "m", "--chain", "wanda")) == [("m", "wanda@0.5")]
    assert "perplexity ptb@2048:16" not in shown(capsys, "m")[0] and "perplexity ptb@2048:16" in shown(capsys)[0]
    assert [row["perplexity wikitext2@2048:16"] for row in shown(capsys, "other")] == ["55.00"]


def test_rows_are_sorted_and_limited(stored, capsys):
    order = [chain for _, chain in chains(shown(capsys, "m", "--sort", "perplexity"))]
    assert order == ["dense", "wanda@0.5", "magnitude@0.5"]
    assert [row["packed MB"] for row in shown(capsys, "--sort", "size")] == ["1.0", "2.0", "3.0", "4.0"]
    best_first = shown(capsys, "--sort", "accuracy")
    assert chains(best_first)[0] == ("m", "dense") and chains(best_first)[-1] == ("other", "magnitude@0.5")
    assert chains(shown(capsys, "m", "--sort", "chain"))[0] == ("m", "dense")
    assert len(shown(capsys, "--limit", "2")) == 2


def test_a_selection_is_refused_or_empty(stored, capsys):
    for arguments, code, words in (
        (["--sort", "speed"], 2, "Order 'speed' is unknown; choose one of perplexity, accuracy, size, chain."),
        (["--chain", "nothing"], 0, "No result matches; `slimscope results` lists all."),
        (["nobody"], 2, "There is no result of 'nobody'; there are results of m, other."),
        ([stored[2][:8], "--sort", "size"], 2, "A key names one result; remove --chain, --own, --sort and --limit."),
    ):
        assert main(["results", *arguments]) == code
        assert capsys.readouterr() == ("", f"{words}\n")


def test_own_hides_bundled_results(stored, capsys):
    append_shipped(result(wanda(ratio=0.3), 25.0), paths.SHIPPED_MEASURED / "a.jsonl")
    append_shipped(result(HALF, 91.0), paths.SHIPPED_MEASURED / "a.jsonl")
    assert ("m", "wanda@0.3") in chains(shown(capsys))
    own = shown(capsys, "--own")
    assert len(own) == 4 and ("m", "wanda@0.3") not in chains(own) and ("m", "magnitude@0.5") in chains(own)


def test_table_has_few_columns_and_names_the_hidden_ones(stored, output_of, monkeypatch):
    monkeypatch.setattr(output, "width", 100)
    out = output_of("results", "m")
    header = " ".join(out.partition("─")[0].split())
    for name in ("key", "variant", "packed", "MB", "wikitext2@2048:16", "mean of"):
        assert name in header
    assert "model" not in header and "boolq" not in header  # of one model; seven tasks are one number
    assert "Not shown: acc" not in out  # as the mean has them
    assert max(map(len, out.splitlines())) <= 100
    Store().put(result(wanda(ratio=0.3), 25.0, perplexity(70.0, dataset="ptb")))
    out = output_of("results")
    assert "model" in out.partition("─")[0]
    assert "Not shown: perplexity ptb@2048:16." in " ".join(out.split())


def test_short_names_distinguish_rows_of_one_chain(output_of, capsys):
    for stage in (wanda(), wanda(seed=1), wanda("passages-calibration:4x128"), wanda(ratio=0.3)):
        Store().put(result(stage, 30.0))
    lines = [" ".join(line.split()[1:]) for line in output_of("results").splitlines() if "Wanda" in line]
    assert lines == [
        "Wanda 50 % 0.0 9.00 30.00",
        "Wanda 50 %, seed 1 0.0 9.00 30.00",
        "Wanda 50 % #3d5a 0.0 9.00 30.00",
        "Wanda 30 % 0.0 9.00 30.00",
    ]
    assert shown(capsys)[2]["calibration"] == "passages-calibration:4x128"


def test_a_key_shows_one_result_in_full_with_its_command(stored, output_of, capsys):
    out = output_of("results", stored[2][:8])
    assert "calibrated on c4-sample:16x2048, seed 0; measured on wikitext2@2048:16, boolq:40," in out
    assert all(f"{name}:40" in out for name in SEVEN)
    (command,) = [line for line in out.splitlines() if line.startswith("slimscope run ")]
    start = "slimscope run m wanda@0.5 --calibration c4-sample:16x2048 --perplexity wikitext2@2048:16 --tasks boolq:40,"
    assert command.startswith(start)
    Store().put(make(perplexity(20.0), stages=(Stage(method="newer", ratio=0.5),)))
    assert "This variant cannot be reproduced: " in output_of("results", "a" * 8)
    assert [row["key"] for row in shown(capsys, stored[2][:8])] == [stored[2][:12]]
    rows = list(csv.DictReader(io.StringIO(output_of("results", "--chain", "wanda", "--csv"))))
    assert {row["key"] for row in rows} == {stored[2]}
    assert all("not stored" in row["unpaired_reason"] for row in rows if row["metric"] == "acc")  # paired with dense


RATIOS = (0.1, 0.2, 0.3, 0.4, 0.5)


@pytest.fixture
def curves():
    """Two methods of one model whose cross-entropy is that of dense over (1 - r)^a."""
    Store().put(result(DENSE, 20.0))
    for method, exponent in (("magnitude", 0.4), ("wanda", 0.2)):
        for ratio in RATIOS:
            Store().put(result(Stage(method=method, ratio=ratio), 20.0 ** ((1 - ratio) ** -exponent)))


def printed(capsys, *arguments):
    assert main(["laws", *arguments]) == 0
    return capsys.readouterr()


def test_table_shows_the_best_form_and_the_critical_ratio(curves, capsys):
    shown = printed(capsys, "m", "--times-dense", "1.2")
    assert "m: perplexity on WikiText-2, window 2048, first 16 windows, float32" in shown.out
    assert "leave-one-ratio-out error" in shown.out
    assert "SparseGPT" not in shown.out  # the papers' tables are not of this model
    lines = [" ".join(line.split()) for line in shown.out.splitlines()]
    (magnitude,) = [line for line in lines if line.startswith("Magnitude 1 - r")]
    assert magnitude == "Magnitude 1 - r 0.0 %, x 1.00 yes 14 % P0 = 1 [1, 1], a = 0.4 [0.4, 0.4] 5"
    assert 1 - (math.log(20) / math.log(24)) ** (1 / 0.4) == pytest.approx(0.14, abs=0.005)
    assert "Accuracies are above chance" in shown.err


def test_json_has_each_fit_and_the_published_ones(curves, capsys):
    rows = pandas.DataFrame(json.loads(printed(capsys, "--json").out))
    own = rows[rows["of"] == "m"]
    assert own["fitted_to"].unique().tolist() == ["Unstructured", "Magnitude", "Wanda"]
    assert set(own["form"]) == {"1 + r", "1 - r", "P2"}
    opt = rows[(rows["of"] == "SparseGPT, table 1: OPT across sizes") & (rows["fitted_to"] == "SparseGPT 50 %")]
    assert opt["leave_one_model_out_percent"].between(0, 10).all() and opt["leave_one_ratio_out_percent"].isna().all()
    assert opt["best"].sum() == 1
    table = pandas.read_csv(io.StringIO(printed(capsys, "m", "--csv").out))
    assert table["fitted_to"].tolist() == own["fitted_to"].tolist()
    check_table(printed(capsys, "m", "--latex").out)


def test_dropped_values_are_counted_if_too_few_ratios_remain(curves, error_of):
    Store().put(result(DENSE, 20.0, model="n"))
    for ratio, value in zip(RATIOS, (25.0, 2e4, 3e4, 4e4, 5e4), strict=True):
        Store().put(result(Stage(method="svd", ratio=ratio, ratio_kind="parameters"), value, model="n"))
    error = " ".join(error_of("laws", "n", "--metric", "perplexity").split())
    assert "Low rank (4 of 5 values dropped) and SVD (4 of 5 values dropped)." in error
    assert report.dropped(laws.selected(None, "perplexity", None)) in error  # also with the laws of another model
    assert not report.dropped(laws.selected("m", None, None))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--keep", "1"], "is outside (0, 1)"),
        (["--times-dense", "1"], "dense perplexity, 1, is not above 1"),
        (["--metric", "speed"], "is not perplexity, accuracy"),
        (["m", "--metric", "piqa"], "too few ratios for a law"),
        (["m", "--perplexity", "ptb@2048:16"], "too few ratios for a law"),
    ],
)
def test_unfittable_data_give_one_sentence(curves, error_of, arguments, words):
    assert words in error_of("laws", *arguments)
