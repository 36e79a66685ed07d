"""The choices of one document as HTML."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import NamedTuple

import pandas as pd

from dashboard.inside.documents.table import letter

CSS = """
<style>
.choices { width: 100%; border-collapse: collapse; font-size: 14px; }
.choices th, .choices td {
  text-align: left; vertical-align: top; padding: 6px 8px; border-top: 1px solid rgba(128, 128, 128, .4);
  overflow-wrap: anywhere;
}
.choices th { overflow-wrap: break-word; }
.choices th[scope="row"] { width: 1px; white-space: nowrap; }
.choices .number { text-align: right; }
.choices td.number { white-space: nowrap; }
.choices tr.right { background: rgba(0, 158, 115, .18); }
.choices small { display: block; }
</style>
"""


class Choices(NamedTuple):
    """The choices of a document: their texts, if known, and the place of the one that each variant makes."""

    texts: Sequence[str]
    chosen: tuple[int, int]  # of the baseline and the variant; may be `UNKNOWN`


def choices_html(row: pd.Series, choices: Choices, names: tuple[str, str]) -> str:
    """Return the choices as HTML, with the right one marked and the log-likelihoods of both variants."""
    heads = "".join(f'<th scope="col" class="number">{escape(name)}</th>' for name in names)
    lines = [f'<tr><th scope="col" colspan="2">Choice</th>{heads}</tr>']
    pairs = zip(row["baseline_loglikelihoods"], row["variant_loglikelihoods"], strict=True)
    for place, numbers in enumerate(pairs):
        right = bool(place == row["right"])
        text = escape(choices.texts[place]) if choices.texts else ""
        cells = "".join(
            f'<td class="number">{_number(number, place == chosen)}</td>'
            for number, chosen in zip(numbers, choices.chosen, strict=True)
        )
        mark = "<small>right</small>" if right else ""
        lines.append(
            f"<tr{' class=right' * right}><th scope='row'>{letter(place)}{mark}</th><td>{text}</td>{cells}</tr>"
        )
    return f'{CSS}<table class="choices">{"".join(lines)}</table>'


def _number(likelihood: float, chosen: bool) -> str:
    number = f"{likelihood:.2f}"
    return f"<b>{number}</b><small>chosen</small>" if chosen else number
