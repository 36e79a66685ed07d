"""The command `laws`: which form predicts best, on made curves and on the papers' tables."""

import io
import json
import math

import pandas
import pytest

from core.cli import laws
from core.cli.app import main
from core.findings.laws import report
from core.specs import Stage, VariantSpec
from core.store.store import Store
from tests.core.factories import make, perplexity
from tests.core.notation.latex import check_table

pytestmark = pytest.mark.usefixtures("machine")

RATIOS = (0.1, 0.2, 0.3, 0.4, 0.5)


def put(value, stages, model="m"):
    made = make(perplexity(value), key=VariantSpec(model=model, revision="r", stages=stages).key, stages=stages)
    Store().put(made.model_copy(update={"variant": made.variant.model_copy(update={"model": model})}))


@pytest.fixture
def curves():
    """Two methods of one model whose cross-entropy is that of dense over (1 - r)^a."""
    put(20.0, (Stage(method="dense"),))
    for method, exponent in (("magnitude", 0.4), ("wanda", 0.2)):
        for ratio in RATIOS:
            put(20.0 ** ((1 - ratio) ** -exponent), (Stage(method=method, ratio=ratio),))


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


def test_dropped_values_are_counted_if_too_few_ratios_remain(curves, capsys):
    put(20.0, (Stage(method="dense"),), "n")
    for ratio, value in zip(RATIOS, (25.0, 2e4, 3e4, 4e4, 5e4), strict=True):
        put(value, (Stage(method="svd", ratio=ratio, ratio_kind="parameters"),), "n")
    assert main(["laws", "n", "--metric", "perplexity"]) == 2
    error = " ".join(capsys.readouterr().err.split())
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
def test_unfittable_data_give_one_sentence(curves, capsys, arguments, words):
    assert main(["laws", *arguments]) == 2
    assert words in capsys.readouterr().err
