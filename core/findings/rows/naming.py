"""Names of points and variants in links and pickers."""

import re
from collections.abc import Mapping

import pandas as pd

from core.findings.rows.points import amounts_of, is_dense
from core.findings.sharing import shared
from core.notation.formatting import format_amount
from core.specs import PUBLISHED

JOINT = " · "  # between a variant's label and its chain
SEED = re.compile(r", seed (\d+)")  # in the name of a variant of which several seeds are stored


@shared
def addresses(points: pd.DataFrame) -> dict[str, str]:
    """Return each point's name in links, by key: its chain, with the series if several points share the chain."""
    named, taken = {}, set[str]()
    for key, chain, series in zip(points["key"], points["chain"], points["series_label"], strict=True):
        named[key] = f"{chain} ({series})" if chain in taken else chain
        taken.add(named[key])
    return named


@shared
def options(points: pd.DataFrame) -> dict[str, str]:
    """Return each point's name in pickers, by key: its label and its chain, so that a search finds both."""
    named = addresses(points)
    labels = [f"{series}, {at}" for series, at in zip(points["series_label"], points["amount_label"], strict=True)]
    labels = [label.removesuffix(f", {format_amount(None)}") for label in labels]
    return {key: f"{label}{JOINT}{named[key]}" for key, label in zip(points["key"], labels, strict=True)}


def addressed(names: Mapping[str, str], linked: str) -> str | None:
    """Return the key of the point or variant that a link means, by its name or its chain.

    An older name may lack the data and the seed, which another variant of the chain made necessary. Of several seeds
    the default one is meant, if it is stored. Each `+` of the link may have become a space.
    """
    plain = _without_plus(linked)
    known = {key: _without_plus(name) for key, name in names.items()}
    label, _, chain = plain.rpartition(JOINT)
    meant = [key for key, name in known.items() if name == plain]
    if not meant:
        start = f"{label}, " if label else ""
        meant = [key for key, name in known.items() if name.startswith(start) and name.rpartition(JOINT)[2] == chain]
    return min(meant, key=lambda key: SEED.findall(names[key]) not in ([], ["0"]), default=None)


def _without_plus(text: str) -> str:
    return " ".join(text.replace("+", " ").split())


def variant_names(rows: pd.DataFrame) -> dict[str, str]:
    """Return the shortest unambiguous name of each variant by key, the dense model first: `SparseGPT, 2:4`."""
    first = rows.drop_duplicates("key")
    first = pd.concat([first[is_dense(first)], first[~is_dense(first)]])
    removed = [f", {amount.label}" if amount else "" for amount in amounts_of(first)]
    names = first["series_label"].str.cat(removed)
    for column, form in (("calibration", "{}"), ("train", "{}"), ("seed", "seed {:.0f}"), ("key", "{:.8}")):
        more = [f", {form.format(value)}" if pd.notna(value) else "" for value in first[column]]
        names = names.mask(names.duplicated(keep=False), names.str.cat(more))
    return dict(zip(first["key"], names, strict=True))


@shared
def variant_options(rows: pd.DataFrame) -> dict[str, str]:
    """Return each variant's name in pickers, by key: its unambiguous name and its chain, the dense model first.

    Published variants, of which only numbers are known, are left out.
    """
    rows = rows[rows["origin"] != PUBLISHED]
    chains = dict(zip(rows["key"], rows["chain"], strict=True))
    return {key: f"{name}{JOINT}{chains[key]}" for key, name in variant_names(rows).items()}
