"""`slimscope best`: the command, Python and the page give the answer of a plain search over all rows."""

import json
import math
import random

import pytest

import core.api as slimscope
from core.base.errors import UserError
from core.cli.app import main
from core.data.corpora import default_corpora
from core.findings.best.budget import PERPLEXITY, Budget
from core.findings.best.candidates import UNTRAINED
from core.findings.best.qualities import quality_of
from core.findings.finding import StoreReader
from core.findings.numbers.frame import tidy
from core.findings.question import Question, answer
from core.findings.rows import choices, zeroshot
from core.findings.rows.missing import is_training_free
from core.findings.within import BudgetQuery, gather, within
from core.imports.files import read_imports, store_imports
from core.shipping.formats import find_format
from core.store.bundled import read_measured
from core.store.store import Store
from dashboard import data
from tests.core.imports.given import sheet

MODELS = ("smollm2-135m", "gemma3-270m")
VARIANT = ["chain", "calibration", "train"]


def questions(count):
    """Draw questions: model, limits, and whether to train."""
    draw = random.Random(66)
    for _ in range(count):
        model = draw.choice(MODELS)
        dense = {"smollm2-135m": 269, "gemma3-270m": 536}[model]
        limits = [{"max_mb": round(dense * draw.uniform(0.15, 1.1), 1)}, {"max_times": round(draw.uniform(1.0, 6), 3)}]
        wanted = draw.choice([limits[:1], limits])
        asked = {name: value for one in wanted for name, value in one.items()}
        if draw.random() < 0.3:
            asked["family"] = draw.choice(["unstructured", "quantisation"])
        yield model, asked, draw.random() < 0.6


def text_of(rows):
    return next(iter(choices.texts(rows, default_corpora()[0]).values()))


def searched(model, limits, training):
    """Return the chain with the lowest mean perplexity over its seeds within the limits, by a plain search."""
    rows = tidy(one for one in read_measured().results.values() if one.variant.model == model)
    corpus, protocol = text_of(rows)
    rows = rows[(rows["metric"] == "perplexity") & (rows["dataset"] == corpus) & (rows["protocol_id"] == protocol)]
    dense = rows.loc[rows["chain"] == "dense", "value"].iloc[0]
    best, lowest = None, (math.inf, math.inf)
    for (chain, *_), part in rows.groupby(VARIANT, dropna=False):
        value, size = part["value"].mean(), part["packed_mb"].mean()
        refused = part["own_grid"].any() or not math.isfinite(value) or (not training and not is_training_free(chain))
        refused |= "family" in limits and part["family"].iloc[0] != limits["family"]
        refused |= size > limits.get("max_mb", math.inf) or value / dense > limits.get("max_times", math.inf)
        if not refused and (value, size) < lowest:
            best, lowest = chain, (value, size)
    return best


def of_page(model, limits, training):
    """Return the answer of Trade-off: the chain, and its first sentence."""
    rows = data.frame(model)
    gathered = gather(rows, *text_of(rows), zeroshot.first_documents(zeroshot.scored_on(rows)))
    budget = Budget(packed_mb=limits.get("max_mb"), times_dense=limits.get("max_times"))
    filters = {"family": [limits["family"]]} if "family" in limits else {}
    filters |= {} if training else {"training": [UNTRAINED]}
    name = f"{model} ({limits['family']})" if "family" in limits else model
    found = within(gathered, BudgetQuery(quality_of(PERPLEXITY, text_of(rows)[0]), budget), filters, data)
    return None if found.winner is None else found.winner["chain"], found.sentences(name)[0].replace("**", "")


@pytest.mark.parametrize("count", [5, pytest.param(200, marks=pytest.mark.full)])
def test_every_question_has_one_answer(count, bundled, capsys):
    for model, limits, training in questions(count):
        expected = searched(model, limits, training)
        chain, sentence = of_page(model, limits, training)
        assert chain == expected, (model, limits, training)
        found = slimscope.best(model, **limits, training=training)
        options = [word for name, value in limits.items() for word in (f"--{name.replace('_', '-')}", str(value))]
        code = main(["best", model, *options, *([] if training else ["--no-training"]), "--json"])
        printed = json.loads(capsys.readouterr().out)
        assert printed["sentence"] == str(found) and printed["winner"] == found.winner
        assert code == (1 if expected is None else 0) and str(found).startswith(sentence)
        if expected is not None:
            assert found.rows["chain"][0] == expected and expected in printed["commands"][found.winner]


def test_a_perplexity_alone_asks_for_the_smallest_and_estimates_nothing(bundled, monkeypatch):
    monkeypatch.setattr("core.findings.within._combinations", pytest.fail)
    found = slimscope.best("smollm2-135m", max_times=1.5)
    assert found.rows["packed_mb"].is_monotonic_increasing and found.rows["times_dense"].max() <= 1.5
    assert str(found).startswith("The smallest of ") and found.winner == found.rows["key"][0]


def test_a_format_counts_its_file(bundled):
    found = slimscope.best("smollm2-135m", max_mb=90, only="gguf")
    assert found.rows["file_mb"].max() <= 90 < slimscope.best("smollm2-135m", max_mb=90).rows["packed_mb"].max() + 1
    assert "smollm2-135m as GGUF" in str(found) and "MB as a file" in str(found)


def test_an_estimated_chain_has_the_file_of_its_stored_twin(bundled):
    """The best chain without its row is estimated from its parts; its file is within 1 % of the counted one."""
    store = Store()
    reader = StoreReader(store)
    rows = reader.of_model("smollm2-135m", store.model_names())
    question = Question("smollm2-135m", Budget(file_mb=200), only=find_format("gguf"))
    known = answer(question, rows, "wikitext2", reader).within.rows
    best = known[known["chain"].str.contains("gptq@4.25bit.*distill-white.*rtn@8bit")].iloc[0]
    found = answer(question, rows[rows["chain"] != best["chain"]], "wikitext2", reader).within.estimates
    assert found.iloc[0]["chain"] == best["chain"]
    assert found.iloc[0]["file_mb"] == pytest.approx(best["file_mb"], rel=0.01)


def test_an_amount_is_that_of_the_whole_model(bundled, capsys):
    assert main(["best", "smollm2-135m", "--at", "0.5"]) == 0
    printed = capsys.readouterr().out
    assert "variants of smollm2-135m at 50 %" in " ".join(printed.split())
    assert "Without training: " in printed and "To make the one without training:" in printed
    assert "layers" not in printed and set(slimscope.best("smollm2-135m", at=0.5).rows["amount_label"]) == {"50 %"}


def test_without_a_fitting_variant_the_nearest_and_a_search_are_named(bundled, capsys):
    assert main(["best", "smollm2-135m", "--max-mb", "30", "--only", "gguf"]) == 1
    printed = capsys.readouterr().out
    assert "Nearest:" in printed and "slimscope autopilot smollm2-135m --max-mb 30 --only gguf" in printed


def test_without_a_fitting_speed_or_quality_what_would_have_to_run_is_named(bundled, capsys):
    assert main(["best", "smollm2-135m", "--max-ms", "3"]) == 1
    words = " ".join(capsys.readouterr().out.split())
    assert "To measure the speed of the smallest variant without one: slimscope run smollm2-135m" in words
    assert words.endswith("--latency")
    assert main(["best", "smollm2-135m", "--max-times", "0.9"]) == 1
    assert "slimscope autopilot smollm2-135m --max-mb 269" in capsys.readouterr().out


def test_an_imported_winner_has_no_command(fresh, capsys):
    row = "smollm2-135m,my-pruner,0.5,,perplexity,wikitext2,5,0.9,16,2048,16,,,float32,,"
    store_imports(read_imports([sheet(row)], None, fresh), fresh)
    assert main(["best", "smollm2-135m", "--at", "0.5"]) == 0
    assert "It is imported, so no command makes it." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "There is no limit; give one, such as 90 MB, or an amount, such as 0.5."),
        (["--max-mb", "-3"], "The highest number of megabytes, -3, is not above 0"),
        (["--max-times", "nan"], "The highest multiple of the dense perplexity, nan, is not above 0 or not finite"),
        (["--at", "0.55"], "Unknown amount '55 %'; did you mean '50 %'?"),
        (["--max-mb", "90", "--family", "low"], "Unknown family 'low'; did you mean 'low rank'?"),
        (["--max-mb", "90", "--text", "ptb@64"], "Unknown text"),
        (["--max-mb", "90", "--only", "gguff"], "Unknown format 'gguff'"),
    ],
)
def test_a_wrong_option_is_one_sentence(options, said, bundled, capsys):
    assert main(["best", "smollm2-135m", *options]) == 2
    printed = capsys.readouterr()
    assert said in " ".join(printed.err.split()) and not printed.out


def test_an_unknown_model_is_refused(bundled):
    with pytest.raises(UserError, match="smollm3-135m"):
        slimscope.best("smollm3-135m", max_mb=90)
