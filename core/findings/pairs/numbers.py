"""Two variants compared in each number that both have: the rows of their chart, and the better one in words."""

from dataclasses import dataclass

import pandas as pd

from core.findings.finding import Finding
from core.findings.numbers.reporting import TableRow, form_of, format_difference, listed, verdict_text
from core.findings.numbers.seven import ABOVE_CHANCE, MEAN
from core.findings.numbers.verdicts import SIGNIFICANT
from core.findings.pairs.paired import MEANS, ON_TEXT, in_order, number_name, number_words
from core.metrics import metric


def number_rows(found: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of `dashboard.charts.compared.difference_chart`.

    `found` are rows of `core.findings.numbers.differences` of one variant to another.

    Returns:
        A row for each paired number: number, unit, value, low, high and `better`, which is 0 for the first variant, 1
        for the second and -1 if the difference is not significant. A number under several protocols has the one with
        most windows or documents.
    """
    rows = []
    for name, row in _paired(found).items():
        one = metric(row["metric"])
        value, low, high = (one.times * float(row[name]) for name in form_of(one.name).figures)
        text = f"{format_difference(row)}, {verdict_text(row)}"
        rows.append((name, one.pairs, value, low, high, _better(row), text))
    return pd.DataFrame(rows, columns=["number", "unit", "value", "low", "high", "better", "hover_text"])


def winner(found: pd.DataFrame, one: str, other: str) -> str:
    """Return a sentence that names the better of two variants, or says that no difference is significant.

    Numbers of texts and the mean above chance decide; single tasks do so only without these.

    `found` are rows of `core.findings.numbers.differences` of `one` to `other`, whose names are Markdown.
    """
    paired = _paired(found)
    if not paired:
        return f"{one} and {other} cannot be paired in any number."
    decisive = {name: row for name, row in paired.items() if row["metric"] in ON_TEXT or row["dataset"] == ABOVE_CHANCE}
    rows = {_in_sentence(name): row for name, row in (decisive or paired).items() if row["dataset"] != MEAN}
    names, columns = (one, other), (("value", "reference"), ("reference", "value"))
    wins: list[list[str]] = [[], []]
    for name, row in rows.items():
        if (place := _better(row)) >= 0:
            first, second = (number_words(row, column) for column in columns[place])
            wins[place].append(f"{name} ({first} against {second})")
    rest = [name for name, row in rows.items() if _better(row) < 0]
    if all(wins):
        text = f"Neither wins: **{one}** is better in {listed(wins[0])}, **{other}** in {listed(wins[1])}."
    elif any(wins):
        place = 0 if wins[0] else 1
        text = f"**{names[place]}** is better than {names[1 - place]} in {listed(wins[place])}."
    else:
        return f"The difference between {one} and {other} is not significant in {listed(rest)}."
    return f"{text} Not significant: {listed(rest)}." if rest else text


def _in_sentence(name: str) -> str:
    for one in map(metric, ON_TEXT):
        name = name.replace(one.label, one.noun)
    mean = MEANS[ABOVE_CHANCE]
    return name.replace(mean, mean[0].lower() + mean[1:])


def _paired(found: pd.DataFrame) -> dict[str, TableRow]:
    """Return the paired rows by name, which includes the window where a text is read in several.

    A number under further protocols, such as few-shot prompts, has only the row with most windows or documents.
    """
    rows = [row for row in in_order(found).to_dict("records") if pd.isna(row["unpaired_reason"])]
    windows: dict[str, set[str]] = {}
    for row in rows:
        windows.setdefault(number_name(row), set()).add(_window(row))
    named: dict[str, TableRow] = {}
    for row in rows:
        name = number_name(row)
        if row["metric"] in ON_TEXT and len(windows[name]) > 1:
            name += f" ({_window(row)})"
        if name not in named or row["n"] > named[name]["n"]:
            named[name] = row
    return named


def _window(row: TableRow) -> str:
    """Return the start of a protocol, such as `window 2048`."""
    return str(row["protocol"]).partition(",")[0]


def _better(row: TableRow) -> int:
    """Return the place of the better variant; -1 if the difference is not significant."""
    return SIGNIFICANT.index(row["verdict"]) if row["verdict"] in SIGNIFICANT else -1


@dataclass(frozen=True, repr=False)
class Comparison(Finding):
    """Whether one variant is better than another.

    `rows` are paired differences of the first to the second (`core.findings.numbers.differences`), a row per common
    number.

    Attributes:
        names: Names of both.
    """

    names: tuple[str, str]


def compare(pairs: pd.DataFrame, one: str, other: str) -> Comparison:
    """Name the better of two variants, from rows of `core.findings.numbers.differences` of the first to the second."""
    return Comparison(pairs, winner(pairs, one, other).replace("**", ""), (one, other))
