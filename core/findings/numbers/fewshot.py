"""Accuracies after few-shot prompts, with paired differences to dense and to zero-shot."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import pandas as pd

from core.base.errors import UserError
from core.data.cards import TASKS
from core.findings.numbers.differences import Samples
from core.findings.numbers.intervals import combined, interval, t_test
from core.findings.numbers.paired import Difference, difference, mean_difference
from core.findings.numbers.seven import mean
from core.results import Measurement, Result
from core.specs import ZERO_SHOT, Fewshot, Scalar
from core.statistics.longrun import independent

MEAN = "mean of tasks"
WORDS = {  # of `Fewshot.choices`
    "selector": {
        "random": "drawn at random",
        "first": "the first ones",
        "nearest": "most like the question",
        "likely": "of the lowest perplexity",
    },
    "order": {"drawn": "as drawn", "similar-last": "most similar last"},
    "template": {
        "plain": "plain",
        "chat": "as turns of a chat",
        "instruction": "after an instruction",
        "generated": "after the dense model's instruction",
        "reasoning": "with reasoning before the answer",
    },
}
FIGURES = ("difference", "low", "high", "p")
COLUMNS = (
    *("key", "dataset", "tasks", "limit", "scoring", "k", "prompts", "value", "stderr", "n"),
    *FIGURES,
    *(f"growth_{name}" for name in FIGURES),
)


class Documents(NamedTuple):
    """The scored documents of a task, all if `limit` is None, and the precision."""

    limit: int | None
    scoring: str | None


Scored = dict[Fewshot, dict[str, Measurement]]  # by prompt and dataset


def fewshot_table(results: Sequence[Result], dense: Result | None, samples: Samples) -> pd.DataFrame:
    """Compare the variants that were scored with few-shot prompts.

    `results` are compressed variants; without their dense model there are no rows.

    Returns:
        `COLUMNS`, a row per variant (dense first), task and prompt.
        `difference` is the accuracy minus the dense model's with the same prompts, with its 95 % interval and p.
        `growth_difference` is `difference` minus the zero-shot difference, document by document, with its interval and
        the p of the paired t test; below 0, compression costs more accuracy with the prompt.
        Both are missing if answers were not stored.
        Rows with the dataset `MEAN` average the `tasks` that all these variants have with each of their prompts, if
        these are several.
    """
    rows: list[dict[str, Scalar]] = []
    if dense is None:
        return pd.DataFrame(rows, columns=COLUMNS)
    every = {one.variant.key: scored(one) for one in (dense, *results)}
    for documents in dict.fromkeys(one for found in every.values() for one in found):
        here = {key: found.get(documents, {}) for key, found in every.items()}
        known = {key: found for key, found in here.items() if any(how != ZERO_SHOT for how in found)}
        tasks = {
            task for found in known.values() for how, numbers in found.items() if how != ZERO_SHOT for task in numbers
        }
        shared = _shared(known.values())
        for key, found in known.items():
            reference = None if key == dense.variant.key else known.get(dense.variant.key)
            for how, numbers in found.items():
                mine = [task for task in numbers if task in tasks]
                pairs = {task: _pair(task, key, dense.variant.key, how, found, reference, samples) for task in mine}
                same = {"key": key, **documents._asdict(), "k": how.k, "prompts": prompts_of(how)}
                for task, pair in pairs.items():
                    accuracy = numbers[task].model_dump(include={"dataset", "value", "stderr", "n"})
                    rows.append(same | {"tasks": 1} | accuracy | _figures(*pair))
                if len(shared) > 1:
                    rows.append(same | _of_mean([numbers[task] for task in shared], [pairs[task] for task in shared]))
    return pd.DataFrame(rows, columns=COLUMNS)


def prompts_of(how: Fewshot) -> str:
    """Write the non-default choices of a prompt besides the number of examples; "" for the defaults."""
    return ",".join(f"{name}={value}" for name, value in how.non_defaults.items())


def describe_prompt(prompts: str) -> str:
    """Describe how few-shot examples were selected and written, from the text of `prompts_of`."""
    choices = dict(part.split("=", 1) for part in prompts.split(",") if part)
    words = [WORDS[name][value] for name, value in choices.items()]
    return ", ".join(words if "selector" in choices or "template" in choices else [WORDS["selector"]["random"], *words])


def prompt_words(k: float, prompts: str) -> str:
    """Describe the prompt before the questions."""
    return describe_prompt(prompts) if k or prompts else "zero-shot"


def prompted(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of `fewshot_table` without the zero-shot ones."""
    return rows[(rows["k"] > 0) | (rows["prompts"] != "")]


def scored(result: Result) -> dict[Documents, Scored]:
    """Return a variant's measured accuracies, in each task's own metric, by documents, prompt and task."""
    found: dict[Documents, Scored] = {}
    for row in result.measurements:
        known = TASKS.get(row.dataset.partition("@")[0])
        if known and row.metric == known.metric and row.origin == "measured":
            documents = Documents(row.protocol.get("limit"), row.protocol.get("dtype"))
            how = Fewshot.from_protocol(row.protocol.get("fewshot"))
            found.setdefault(documents, {}).setdefault(how, {})[row.dataset] = row
    return found


def _shared(known: Iterable[Scored]) -> list[str]:
    """Return the tasks that every variant has with each of its prompts, so that their means are comparable."""
    having = [numbers for found in known for numbers in found.values()]
    return [task for task in (having[0] if having else ()) if all(task in one for one in having)]


Pair = tuple[Difference | None, Difference | None]


def _pair(task: str, key: str, dense: str, how: Fewshot, mine: Scored, theirs: Scored | None, samples: Samples) -> Pair:
    """Return the difference to dense with a prompt, and this difference minus the zero-shot one."""
    if theirs is None or task not in theirs.get(how, {}):
        return None, None
    row = mine[how][task]
    first, second = samples(dense, theirs[how][task]), samples(key, row)
    if first is None or second is None:
        return None, None
    try:
        found = difference(row.metric, first, second)
    except UserError:
        return None, None
    if how == ZERO_SHOT or not all(task in one.get(ZERO_SHOT, {}) for one in (mine, theirs)):
        return found, None
    first_before, second_before = samples(dense, theirs[ZERO_SHOT][task]), samples(key, mine[ZERO_SHOT][task])
    if first_before is None or second_before is None or not len(first_before) == len(second_before) == len(first):
        return found, None
    frames = first, second, first_before, second_before
    dense_after, after, dense_before, before = (frame[row.metric].to_numpy(float) for frame in frames)  # (n,) each
    d = (after - dense_after) - (before - dense_before)
    return found, _growth(float(d.mean()), independent(d).value, len(d), len(d) - 1)


def _growth(mean: float, stderr: float | None, n: int, freedom: float) -> Difference:
    low, high = interval(mean, stderr, freedom)
    return Difference(n=n, difference=mean, stderr=stderr, low=low, high=high, p=t_test(mean, stderr, freedom))


def _of_mean(rows: Sequence[Measurement], pairs: Sequence[Pair]) -> dict[str, Scalar]:
    value, stderr = mean(rows)
    n = sum(row.n for row in rows)
    known: dict[str, Scalar] = {"dataset": MEAN, "tasks": len(rows), "value": value, "stderr": stderr, "n": n}
    differences = [one for one, _ in pairs if one]
    growths = [growth for _, growth in pairs if growth]
    to_dense = mean_difference(differences) if len(differences) == len(rows) else None
    growth = None
    if len(growths) == len(rows):
        stderr, freedom = combined((one.stderr, one.n) for one in growths)
        whole = sum(one.difference for one in growths) / len(growths)
        growth = _growth(whole, stderr, n, freedom)
    return known | _figures(to_dense, growth)


def _figures(to_dense: Difference | None, growth: Difference | None) -> dict[str, Scalar]:
    found = {name: getattr(to_dense, name) for name in FIGURES} if to_dense else {}
    return found | ({f"growth_{name}": getattr(growth, name) for name in FIGURES} if growth else {})
