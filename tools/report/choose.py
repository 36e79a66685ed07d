"""The page "Which method should I choose?": tables by size and answers by aim, as on pages and of `slimscope best`."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import pandas as pd

from core.amount import Amount
from core.base.errors import UserError
from core.findings.best import choose
from core.findings.best.budget import Budget
from core.findings.finding import StoreReader
from core.findings.numbers.differences import Samples
from core.findings.numbers.frame import build_frame
from core.findings.question import Question, answer
from core.results import Result
from core.shipping.formats import find_format
from tools.report.points import MODEL, SECOND, Bundle

CORPUS = "wikitext2"  # of the perplexities, on each machine


class Aim(NamedTuple):
    """An aim, as options of `slimscope best` and as the fields of its `Question`."""

    name: str
    options: str
    fields: dict[str, Any]  # Any: a field has its own type


AIMS = (
    Aim("A small model near dense quality", "--max-times 1.1", {"budget": Budget(times_dense=1.1)}),
    Aim(
        "The same without training",
        "--max-times 1.1 --no-training",
        {"budget": Budget(times_dense=1.1), "training": False},
    ),
    Aim(
        "A small GGUF file",
        "--max-times 1.2 --only gguf",
        {"budget": Budget(times_dense=1.2), "only": find_format("gguf")},
    ),
    Aim(
        "Half of the weights zero",
        "--at 0.5 --family unstructured",
        {"budget": Budget(), "at": Amount.parse("0.5"), "family": "unstructured"},
    ),
    Aim("2:4 sparsity", "--at 2:4", {"budget": Budget(), "at": Amount.parse("2:4")}),
    Aim(
        "Heads and channels removed, 20 %",
        "--at 0.2 --family structured",
        {"budget": Budget(), "at": Amount.parse("0.2"), "family": "structured"},
    ),
)


class Choosing:
    """The choices of each model of the page."""

    aims = AIMS

    def __init__(self, results: Sequence[Result], samples: Samples):
        """Choose for both models."""
        self._reader = StoreReader(Bundle(lambda: results, samples))
        first, second = (choose.measured(model, self._rows(model), self._reader) for model in (MODEL, SECOND))
        self._dense = {one.model: one.dense for one in (first, second)}
        self._found = {
            one.model: choose.choose([one, other], choose.sizes_of(one, first))
            for one, other in ((first, second), (second, first))
        }

    def dense_size(self, model: str) -> str:
        """Return the packed size of a dense model: `269 MB`."""
        return f"{self._dense[model]['packed_mb']:.0f} MB"

    def table(self, model: str) -> str:
        """Return a model's table in Markdown."""
        shown = choose.table(self._found[model], chains=True)
        return str(shown.to_markdown(index=False, tablefmt="github", disable_numparse=True))

    def machines(self, model: str) -> str:
        """Return on which machines the times of a model's table were measured; empty if none was measured alone."""
        return self._found[model].machines

    def advice(self, model: str) -> str:
        """Return the advice on a model."""
        return self._found[model].advice

    def answer(self, aim: Aim, model: str) -> str:
        """Return the answer of `slimscope best` to an aim, with the chain of the best variant."""
        try:
            found = answer(Question(model, **aim.fields), self._rows(model), CORPUS, self._reader)
        except UserError:  # no variant has this amount
            return "not measured."
        chains = dict(zip(found.rows["key"], found.rows["chain"], strict=True))
        text = found.sentence.replace("\n", " ")
        return text if found.winner is None else f"{text} Chain of the best: `{chains[found.winner]}`."

    def _rows(self, model: str) -> pd.DataFrame:
        return build_frame(one for one in self._reader.every if one.model.name == model)
