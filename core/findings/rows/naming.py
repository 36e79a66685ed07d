"""Names of points and variants in links and pickers."""

from collections.abc import Mapping

import pandas as pd

from core.findings.rows.points import is_dense
from core.findings.sharing import shared
from core.specs import PUBLISHED

JOINT = " · "  # between a variant's name and its chain


@shared
def addresses(points: pd.DataFrame) -> dict[str, str]:
    """Return each point's name in links, by key: its chain, with its name if several points share the chain."""
    named, taken = {}, set[str]()
    for key, chain, name in zip(points["key"], points["chain"], points["name"], strict=True):
        named[key] = f"{chain} ({name})" if chain in taken else chain
        taken.add(named[key])
    return named


@shared
def options(points: pd.DataFrame) -> dict[str, str]:
    """Return each point's name in pickers, by key: its name and its chain, so that a search finds both."""
    named = addresses(points)
    return {key: f"{name}{JOINT}{named[key]}" for key, name in zip(points["key"], points["name"], strict=True)}


def addressed(names: Mapping[str, str], linked: str) -> str | None:
    """Return the key of the point or variant that a link means, by its name or its chain.

    Names of older versions differ before the chain. Of several variants of the chain, the link means the one whose data
    and seed it has, or else the one with the shortest name, as it has the default ones. Each `+` of the link may have
    become a space.
    """
    plain = _without_plus(linked)
    known = {key: _without_plus(name) for key, name in names.items()}
    label, _, chain = plain.rpartition(JOINT)

    def distance(key: str) -> tuple[int, int, int]:
        _, *settings = known[key].rpartition(JOINT)[0].split(", ")
        there = sum(one in label for one in settings)
        return len(settings) - there, -there, len(known[key])

    meant = [key for key, name in known.items() if name == plain]
    meant = meant or [key for key, name in known.items() if name.rpartition(JOINT)[2] == chain]
    return min(meant, key=distance, default=None)


def _without_plus(text: str) -> str:
    return " ".join(text.replace("+", " ").split())


def variant_names(rows: pd.DataFrame) -> dict[str, str]:
    """Return the short name of each variant by key, the dense model first."""
    first = rows.drop_duplicates("key")
    first = pd.concat([first[is_dense(first)], first[~is_dense(first)]])
    return dict(zip(first["key"], first["name"], strict=True))


@shared
def variant_options(rows: pd.DataFrame) -> dict[str, str]:
    """Return each variant's name in pickers, by key: its short name and its chain, the dense model first.

    Published variants, of which only numbers are known, are left out.
    """
    rows = rows[rows["origin"] != PUBLISHED]
    chains = dict(zip(rows["key"], rows["chain"], strict=True))
    return {key: f"{name}{JOINT}{chains[key]}" for key, name in variant_names(rows).items()}
