"""Verdicts of the bundled results: those in sentences and tables of the pages, and those of every row."""

import re

import pandas as pd
import pytest

from core.findings.numbers.differences import differences, differences_to_dense
from core.findings.numbers.fewshot import fewshot_table
from core.findings.numbers.intervals import ALPHA
from core.findings.numbers.reporting import verdict_text
from core.findings.numbers.seven import ABOVE_CHANCE
from core.findings.numbers.verdicts import ALONE, NOT_SIGNIFICANT, SIGNIFICANT
from core.notation.chain import format_chain
from core.store.bundled import read_measured
from core.store.samples import read_shipped_samples
from dashboard.charts.fewshot import COSTS, table
from tools.report.chains import of_page
from tools.report.points import HOW, MODEL, SECOND
from tools.report.results import DOCS, TEMPLATES
from tools.report.significance import compared

NOT_AFTER_HOLM = "significant alone, not after Holm"
# Chain, its reference, model, number, and the verdict on the chain in a test of this pair alone.
PAIRS = [
    ("alps@0.7", "sparsegpt@0.7", MODEL, "perplexity", "better"),
    ("alps@2:4", "sparsegpt@2:4", MODEL, "perplexity", "better"),
    ("alps@0.7", "sparsegpt@0.7+adaprune", MODEL, "perplexity", "better"),
    ("alps@0.7+adaprune", "alps@0.7", MODEL, "perplexity", "not significant"),
    ("alps@0.7,allocation=sensitivity", "sparsegpt@0.7+adaprune", MODEL, "perplexity", "better"),
    ("alps@0.7,allocation=sensitivity", "sparsegpt@0.7", MODEL, ABOVE_CHANCE, "not significant"),
    ("sparsegpt@0.7,allocation=owl", "sparsegpt@0.7", MODEL, "perplexity", "not significant"),
    ("wanda@0.7,allocation=owl", "wanda@0.7", MODEL, "perplexity", "not significant"),
    (f"slimllm@0.2+lora{HOW}", f"llm-pruner@0.2+lora{HOW}", MODEL, "perplexity", "not significant"),
    (f"slimllm@0.5+lora{HOW}", f"lorap@0.5+lora{HOW}", MODEL, "perplexity", "better"),
    (f"sparsegpt@0.7+distill-white{HOW}", f"sparsegpt@0.7+lora{HOW}", MODEL, "perplexity", "better"),
    (f"sparsegpt@0.5+distill-white{HOW}", f"sparsegpt@0.5+lora{HOW}", MODEL, "perplexity", "not significant"),
    (f"slimllm@0.5+distill-white{HOW}", f"slimllm@0.5+lora{HOW}", MODEL, "perplexity", "not significant"),
    ("slimllm@0.5", "dense", MODEL, "boolq", "better"),
    *(("slimllm@0.5", "dense", MODEL, task, "worse") for task in ("piqa", "hellaswag", "arc_easy", "arc_challenge")),
    ("slimllm@0.5", "dense", MODEL, "lambada_openai", "worse"),
    ("sparsegpt@0.5", "wanda@0.5", SECOND, "perplexity", "not significant"),
    ("magnitude@0.5", "wanda@0.5", SECOND, "perplexity", "worse"),
    ("sparsegpt@0.3", "wanda@0.3", SECOND, "perplexity", "not significant"),
    ("sparsegpt@0.5+adaprune", "sparsegpt@0.5", SECOND, "perplexity", "not significant"),
    ("sparsegpt@0.7+adaprune", "sparsegpt@0.7", SECOND, "perplexity", "not significant"),
    ("llm-pruner@0.2", "slimllm@0.2", SECOND, "perplexity", "not significant"),
]
# A table's row, as its first cell begins, its page, and how the verdict on its mean above chance begins there.
ROWS = [
    ("`awq@4bit", "quantised", "not significant"),
    ("`rtn@4bit", "quantised", "not significant"),
    ("`hqq@4bit`", "quantised", "not significant"),
    ("`gptq@4.25bit,clip=true,symmetric=false`", "quantised", NOT_AFTER_HOLM),
    ("`gptq@4bit`", "quantised", NOT_AFTER_HOLM),
    ("`gptq@4.25bit,clip=true,symmetric=false+distill-white`", "quantised", "not significant"),
    ("`rtn@4bit", "embeddings", "not significant"),
    ("`llm-pruner@0.2`", "models", "worse"),
    ("`slimllm@0.2`", "models", "worse"),
    ("`gptq@4bit`", "models", NOT_AFTER_HOLM),
    ("`gptq@4bit+rtn@4bit,on=embedding`", "models", "worse"),
]


@pytest.fixture(scope="module")
def known():
    """Return the bundled results of each model by chain."""
    every = [compared(one) for one in read_measured().results.values()]
    return {
        model: {format_chain(one.variant.stages): one for one in reversed(every) if of_page(one, model)}
        for model in (MODEL, SECOND)
    }


@pytest.mark.parametrize(("chain", "other", "model", "number", "verdict"), PAIRS)
def test_a_sentence_names_the_verdict_on_a_pair(known, chain, other, model, number, verdict):
    mine = known[model]
    rows = differences([mine[chain]], mine[other], read_shipped_samples, [mine["dense"]])
    rows = rows[rows["unpaired_reason"].isna() & (rows[["dataset", "metric"]] == number).any(axis=1)].sort_values("n")
    assert rows["verdict"].iloc[-1] == verdict


@pytest.mark.parametrize(("row", "page", "verdict"), ROWS)
def test_a_sentence_names_the_verdict_of_a_table(row, page, verdict):
    text = (DOCS / "results" / f"{page}.md").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line.startswith(f"| {row}")]
    verdicts = re.findall(r"adjusted p [\d.< ]+: ([^|]+?) *\|", lines[0])
    assert verdicts[0].startswith(verdict)


BARE = "not significant"


@pytest.fixture(scope="module")
def bundled():
    return list(read_measured().results.values())


def check(rows):
    """Check the verdicts, in data and in words, of rows of `core.findings.numbers.differences`; return how many."""
    rows = rows[rows["verdict"].notna()]
    outside = (rows["low"] > 0) | (rows["high"] < 0)
    infinite = rows["difference"].abs() == float("inf")
    assert (outside == (rows["p"] <= ALPHA)).all()
    assert (outside | infinite).eq(rows["verdict"] != NOT_SIGNIFICANT).all()
    assert rows["verdict"].isin(SIGNIFICANT).eq((rows["p_adjusted"] <= ALPHA) | infinite).all()
    texts = pd.Series([verdict_text(row) for row in rows.to_dict("records")], rows.index)
    assert not (outside & texts.eq(BARE)).any() and not (~outside & ~infinite & texts.ne(BARE)).any()
    alone = rows["verdict"].isin(ALONE)
    counts = rows["comparisons"].map("significant alone, not after Holm ({:.0f} comparisons)".format)
    assert texts[alone].eq(counts[alone]).all() and (rows.loc[alone, "comparisons"] > 1).all()
    return len(rows)


def test_verdicts_against_dense_agree_with_their_intervals(bundled):
    rows = differences_to_dense(bundled, read_shipped_samples)
    assert check(rows) > 1400 and (rows["dataset"] == ABOVE_CHANCE).sum() > 50
    assert rows["verdict"].isin(ALONE).sum() > 100  # or the third verdict is not tried


def test_verdicts_of_few_shot_changes_agree_with_their_intervals(bundled):
    mine = [one for one in bundled if one.variant.model == "smollm2-135m"]
    dense = next(one for one in mine if one.variant.key == one.variant.dense_key)
    rows = fewshot_table([one for one in mine if one is not dense], dense, read_shipped_samples)
    rows = rows[rows["growth_difference"].notna()]
    assert len(rows) > 50
    outside = (rows["growth_low"] > 0) | (rows["growth_high"] < 0)
    assert outside.eq(rows["growth_p"] <= ALPHA).all() and outside.any()
    compared = rows["difference"].notna()
    assert ((rows["low"] > 0) | (rows["high"] < 0))[compared].eq(rows["p"][compared] <= ALPHA).all()
    for _, part in rows.groupby("dataset"):
        shown = table(part.assign(series_label="a"))["Compression"].to_numpy()
        excluded = outside[part.index].to_numpy()
        assert ((shown == BARE) == ~excluded).all()
        judged = pd.Series(shown[excluded], dtype=object)
        assert (judged.isin(COSTS) | judged.str.startswith("significant alone, not after Holm (")).all()


INTERVAL = re.compile(r"[+-]?[\d.,]+(?:e\d+)? \[[^\]]+\](?:, adjusted p [\d.< ]+)?: [^|]+\|")


def test_columns_of_intervals_are_marked_as_unadjusted():
    pages = [DOCS / template.relative_to(TEMPLATES) for template in TEMPLATES.rglob("*.md")]
    texts = [page.read_text(encoding="utf-8") for page in pages if page.name != "choose.md"]  # as on Explore
    tables = [found for text in texts for found in re.findall(r"^(\|.*)\n\|[-|]+\|\n((?:\|.*\n)+)", text, re.M)]
    heads = [head for head, rows in tables if INTERVAL.search(rows)]
    assert heads and [head for head in heads if "[unadjusted 95 %]" not in head] == []
