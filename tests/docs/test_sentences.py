"""The sentences of the pages of results that name a verdict agree with the bundled results."""

import re

import pytest

from core.findings.numbers.differences import differences
from core.findings.numbers.seven import ABOVE_CHANCE
from core.notation.chain import format_chain
from core.store.bundled import read_measured
from core.store.samples import read_shipped_samples
from tools.report.chains import of_page
from tools.report.points import HOW, MODEL, SECOND
from tools.report.results import DOCS
from tools.report.significance import compared

ALONE = "significant alone, not after Holm"
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
    ("`gptq@4.25bit,clip=true,symmetric=false`", "quantised", ALONE),
    ("`gptq@4bit`", "quantised", ALONE),
    ("`gptq@4.25bit,clip=true,symmetric=false+distill-white`", "quantised", "not significant"),
    ("`rtn@4bit", "embeddings", "not significant"),
    ("`llm-pruner@0.2`", "models", "worse"),
    ("`slimllm@0.2`", "models", "worse"),
    ("`gptq@4bit`", "models", ALONE),
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
