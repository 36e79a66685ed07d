"""The command `compare`, on made results that keep what was answered."""

import io

import numpy as np
import pandas
import pytest

from core.base.errors import UserError
from core.cli.app import main
from core.cli.compare import chosen, named
from core.data.cards import SEVEN, TASKS
from core.results import Measurement
from core.specs import Stage, TextWindows, VariantSpec
from core.store.store import Store
from tests.core.factories import make, perplexity
from tests.core.notation.latex import check_table

pytestmark = pytest.mark.usefixtures("machine")

N = 40
DENSE = (Stage(method="dense"),)
FEW = (Stage(method="magnitude", ratio=0.3),)
MANY = (Stage(method="magnitude", ratio=0.7),)


def key_of(stages, model="m"):
    return VariantSpec(model=model, revision="r", stages=stages).key


def put(stages, right=30, loss=3.0, model="m", kept=True, tasks=SEVEN, texts=True):
    """Store a variant with seven tasks, of whose documents the first `right` are right, and a perplexity."""
    store, rows, answers = Store(), [], []
    for name in tasks:
        for metric in dict.fromkeys(("acc", TASKS[name].metric)):
            protocol = {"limit": N, "fewshot": 0, "dtype": "float32", "version": 1.0}
            rows.append(Measurement(metric=metric, dataset=name, value=right / N, n=N, protocol=protocol))
        both = {metric: np.repeat([1.0, 0.0], [right, N - right]) for metric in ("acc", "acc_norm")}
        choices = {"target": [0] * 24 + [1] * 16, "loglikelihoods": [[-1.0, -2.0], [-2.0, -1.0]] * (N // 2)}
        answers.append((rows[-1], pandas.DataFrame({"doc_id": range(N), **choices, **both})))
    if texts:
        losses = loss + 0.01 * np.sin(np.arange(16) * (1 + loss))
        rows.append(perplexity(float(np.exp(losses.mean()))))
        answers.append((rows[-1], pandas.DataFrame({"doc_id": range(16), "perplexity": -losses})))
    made = make(*rows, key=key_of(stages, model), stages=stages, model=model)
    store.put(made)
    for row, frame in answers if kept else ():
        store.put_samples(made.variant.key, row, frame)
    return made.variant.key


def test_a_seed_makes_the_difference_one_of_two_models_until_another_is_stored(output_of):
    put(DENSE)
    first, second = (put((Stage(method="wanda", ratio=0.5, seed=seed),), 20, 3.5 + seed) for seed in (0, 1))
    Store().delete(second)
    alone = " ".join(output_of("compare", "dense", first).split())
    assert "Differences of these models only, as no other seeds of their methods are stored: " in alone
    put((Stage(method="wanda", ratio=0.5, seed=1),), 20, 4.5)
    both = " ".join(output_of("compare", "dense", first).split())
    assert "Intervals with the variance between seeds: 1 of " in both
    assert "Differences of these models only" in both  # of the accuracies


def test_each_variant_gets_a_table_and_a_sentence(output_of):
    put(DENSE)
    few, many = put(FEW, 30, 3.0), put(MANY, 20, 3.5)
    out = output_of("compare", "dense", few[:8], many[:12])
    first, second = out.split("magnitude@0.7 (", 1)
    assert first.startswith(f"magnitude@0.3 ({few[:12]}) compared with dense ({key_of(DENSE)[:12]})")
    assert "p, Holm over 2" in first and "p, Holm over 2" in second
    words = " ".join(second.split())
    assert "dense is better than magnitude@0.7 in perplexity on WikiText-2 (20.1 against 33.1) and mean above" in words
    lines = [line.split() for line in second.splitlines()]
    boolq = next(line for line in lines if line[:2] == ["acc", "boolq:40"])
    assert " ".join(boolq[2:]) == "50.0 % 60.0 % 75.0 % 50.0 % -25.0 [-38.7, -8.9] 0, 10 0.0051 worse"
    means = [line[:2] for line in lines if line[:1] == ["mean"]]
    assert means == [["mean", "of"], ["mean", "above"]]
    assert "mean of seven" not in second[second.index("dense is better") :]  # it does not judge
    assert "acc hellaswag" not in out  # papers report acc_norm
    assert any("x 1.65" in " ".join(line) for line in lines)
    assert "The difference between magnitude@0.3 and dense is not significant in perplexity on WikiText-2" in first


def test_comparison_is_printed_in_every_format(output_of):
    put(DENSE)
    few, many = put(FEW, 29, 3.0), put(MANY, 20, 3.5)
    listed = output_of("compare", "dense", few, many, "--json")
    frame = pandas.read_csv(io.StringIO(output_of("compare", "dense", few, many, "--csv")))
    assert len(listed) == len(frame) == 2 * (7 + 3 + 1 + 2)  # tasks, three of them by both metrics, text and means
    for row, line in zip(listed, frame.to_dict("records"), strict=True):
        assert (row["key"], row["dataset"], row["verdict"]) == (line["key"], line["dataset"], line["verdict"])
        assert row["p"] == pytest.approx(line["p"])
    assert {row["reference_key"] for row in listed} == {key_of(DENSE)}
    assert [row["unpaired_reason"] for row in listed] == [None] * len(listed)
    lines = [line.split("\t") for line in output_of("compare", "dense", few, many, "--tsv").splitlines()]
    assert len(lines) == 1 + 2 * (7 + 1 + 2)  # a header; tasks by their usual metric, text and means of each pair
    row = dict(zip(lines[0], next(line for line in lines if line[3] == "acc boolq:40"), strict=True))
    assert (row["key"], row["variant"], row["compared with"]) == (few[:12], "magnitude@0.3", "dense")
    assert (row["value"], row["reference"], row["difference"]) == ("72.5", "75.0", "-2.5")
    same = next(one for one in listed if (one["key"][:12], one["dataset"], one["metric"]) == (few[:12], "boolq", "acc"))
    assert row["flips to right, wrong"] == f"{same['gained']:.0f}, {same['lost']:.0f}"
    assert same["lost"] - same["gained"] == 1 and same["lost_low"] < same["lost"] < same["lost_high"]
    latex = output_of("compare", "dense", few, many, "--latex")
    assert latex.count("}\n\n") >= 2  # wide tables are split
    check_table(latex)
    assert r"75.0 \%" in latex and "is worse" not in latex


def test_what_cannot_be_paired_is_named(output_of):
    put(DENSE)
    old, other = put(FEW, 20, 3.5, kept=False), put(MANY, 20, 3.5, model="n")
    out = output_of("compare", "dense", old)
    assert "75.0 %" in out and "50.0 %" in out and "magnitude@0.3 and dense cannot be paired in any number." in out
    assert "Cannot be paired: " in " ".join(out.split())
    assert all(row["p"] is None for row in output_of("compare", "dense", old, "--json"))
    # Of another model the documents are the same, the windows not.
    words = " ".join(output_of("compare", put(MANY, 30, 3.0), other).split())
    assert "magnitude@0.7, m is better than magnitude@0.7, n in" in words
    assert "Cannot be paired: the models have different tokenizers" in words


def test_results_without_a_common_number_are_named(output_of, capsys):
    one, other, third = put(FEW, tasks=()), put(MANY, texts=False), put(DENSE, tasks=())
    assert main(["compare", one, other]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("magnitude@0.3 shares no number with magnitude@0.7;") and err.count("\n") == 1
    assert "perplexity wikitext2@2048:16" in output_of("compare", one, other, third)


def test_bad_keys_are_refused():
    store, few, other = Store(), put(FEW), put(MANY, model="n")
    for keys, words in {
        (few,): "Name at least two results",
        (few, "abc"): "is too short",
        (few, "0" * 64): "no result with the key",
        (few, few[:8]): "is named twice",
        ("dense", "dense"): "name at least one other",
        ("dense", few): "The dense m in float32 has no result;",
        ("dense", few, other): "these results have several dense models",
    }.items():
        with pytest.raises(UserError, match=words):
            chosen(store, keys)
    put(DENSE)
    with pytest.raises(UserError, match="is named twice"):
        chosen(store, ["dense", few, key_of(DENSE)])


def test_equal_chains_are_distinguished_by_their_keys():
    texts = (TextWindows.parse(f"text.txt:{count}x32") for count in (2, 4))
    chains = [(Stage(method="wanda", ratio=0.5, calibration=text, seed=0),) for text in texts]
    keys = [put(chain) for chain in chains]
    assert named(chosen(Store(), keys)) == {key: f"wanda@0.5, {key[:8]}" for key in keys}


def test_results_show_differences_to_dense(output_of):
    put(DENSE)
    few, many = put(FEW, 29, 3.0), put(MANY, 20, 3.5)
    old = put((Stage(method="wanda", ratio=0.3),), 20, 3.5, kept=False)
    out = output_of("results")
    rows = {line.split()[0]: " ".join(line.split()[1:]) for line in out.splitlines() if " %" in line or "Dense" in line}
    assert rows[many[:12]].endswith("33.10, x 1.65 14.3 points, -25.0 50.0 %, -25.0")
    assert "20.08, (x 1.000)" in rows[few[:12]]
    assert rows[old[:12]].endswith("33.10 14.3 points 50.0 %")
    assert rows[key_of(DENSE)[:12]].endswith("20.08 39.3 points 75.0 %")
    assert "In parentheses: not significant" in out
    rows = {line.split("\t")[0]: line for line in output_of("results", "--tsv").splitlines()}
    assert "\t0.5000, -25.0 [-38.7, -8.9] points, adjusted p 0.0051\t" in rows[many[:12]]
    assert "x 1.65 [" in rows[many[:12]]
    assert "points" not in rows[old[:12]] and "points" not in rows[key_of(DENSE)[:12]]
    latex = output_of("results", "--latex")
    check_table(latex)
    assert r"0.5000, -25.0 [-38.7, \\ -8.9] points, adjusted p \\ 0.0051" in latex and "Holm's method" in latex
    frame = pandas.read_csv(io.StringIO(output_of("results", "--csv"))).set_index(["key", "dataset", "metric"])
    row = frame.loc[(many, "boolq", "acc")]
    assert (row["difference"], row["verdict"]) == (-0.25, "worse")
    assert frame.loc[(many, "wikitext2", "perplexity"), "perplexity_ratio"] == pytest.approx(1.65, abs=0.01)


def test_a_single_result_shows_differences_to_dense(output_of):
    many = put(MANY, 20, 3.5)
    assert "worse" not in output_of("results", many)
    put(DENSE)
    out = output_of("results", many)
    assert "vs dense, unadjusted 95 %" in out and "-25.0 [-38.7, -8.9] points, adjusted p 0.0026, worse" in out
