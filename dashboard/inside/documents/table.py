"""The table of documents: DataFrame in, DataFrame out."""

from __future__ import annotations

from string import ascii_uppercase

import pandas as pd

from core.findings.inside.documents import UNKNOWN
from core.findings.sharing import shared
from core.notation.formatting import capitalise

NATS = "%+.2f"


def letter(choice: int) -> str | None:
    """Return the letter of a choice; None if it is unknown."""
    return None if choice == UNKNOWN else ascii_uppercase[choice] if choice < len(ascii_uppercase) else str(choice + 1)


@shared
def document_table(rows: pd.DataFrame, names: tuple[str, str]) -> pd.DataFrame:
    """Return the table that a page shows of documents.

    Args:
        rows: Rows of `core.findings.inside.documents`, with their labels.
        names: Names of the baseline and of the variant.
    """
    sides = dict(zip(("baseline", "variant"), names, strict=True))
    table = {"Document": rows["label"], "Direction": rows["direction"].map(capitalise)}
    table["Right choice"] = rows["right"].map(letter)
    table["Margin: change"] = rows["margin_change"]
    for column, heading in (("margin", "Margin"), ("choice", "Choice")):
        for side, name in sides.items():
            values = rows[f"{side}_{column}"]
            table[f"{heading}: {name}"] = values.map(letter) if column == "choice" else values
    for side, name in sides.items():
        lists = rows[f"{side}_loglikelihoods"]
        for place in range(max(map(len, lists), default=0)):
            values = lists.map(lambda one, place=place: one[place] if place < len(one) else None)
            table[f"Log-likelihood, {name}: {letter(place)}"] = values.astype(float)
    return pd.DataFrame(table).reset_index(drop=True)


def formats(table: pd.DataFrame) -> dict[str, str]:
    """Return the formats of the columns in nats."""
    nats = [str(name) for name in table if str(name).startswith(("Margin: ", "Log-likelihood, "))]
    return {name: NATS if name.startswith("Margin") else "%.2f" for name in nats}
