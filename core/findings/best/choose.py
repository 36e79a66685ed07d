"""The best chain within each packed size, with and without training: as a table, and the advice in sentences."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

import numpy as np
import pandas as pd

from core.findings.axes import PACKED
from core.findings.best.budget import LIMITS, PERPLEXITY, USABLE_TIMES_DENSE, Budget, ranked
from core.findings.best.candidates import TRAINED, UNTRAINED, candidates
from core.findings.best.qualities import QUALITIES
from core.findings.best.ranking import OWN_GRID
from core.findings.cost import NOT_ALONE, Cost, cost_of
from core.findings.finding import Finding, Keys, Number, Reader
from core.findings.numbers.reporting import TableRow, interval_words, listed, ratio_words
from core.findings.numbers.verdicts import SIGNIFICANT
from core.findings.rows import choices
from core.findings.rows.points import is_dense
from core.findings.rows.zeroshot import first_documents, scored_on
from core.findings.sharing import shared
from core.notation.formatting import capitalise, format_duration
from core.registry import METHODS
from core.results import Variant

SIZES = (200, 130, 110, 90, 75, 60)  # MB of the first model; other models get the same shares of their dense size
PRUNING = {method.name for method in METHODS if method.family in ("unstructured", "structured", "low rank")}
KINDS = {UNTRAINED: "Without training", TRAINED: "With training"}  # headings of the table
NOTHING = "none fits"
SIZE, CHAIN, LOSS, COST, HOLDS = "At most", "best chain", "times dense", "time, memory", "holds on"
COLUMNS = [SIZE, *(f"{kind}: {part}" for kind in KINDS.values() for part in (CHAIN, LOSS, COST, HOLDS))]


class Measured(NamedTuple):
    """The variants of a model on one text."""

    model: str
    rows: pd.DataFrame  # of `variants`
    number: Number  # the perplexity
    reader: Reader

    @property
    def dense(self) -> pd.Series:
        """The dense model's row."""
        return self.rows[is_dense(self.rows)].iloc[0]

    def best(self, most: float, rows: pd.DataFrame | None = None) -> pd.DataFrame:
        """Return the compressed variants, of all or of `rows`, that fit `most` MB and can win, the best first."""
        rows = self.rows if rows is None else rows
        found = ranked(rows[~is_dense(rows)], Budget(packed_mb=most), PACKED.column, PERPLEXITY)
        return found[found["fits"] & found["ranked"]]

    def compare(self, keys: Keys, reference: Keys) -> TableRow | None:
        """Return the paired difference in perplexity of a variant to another, by their keys of each seed, if known."""
        pairs = self.reader.paired([keys], reference, [self.number])
        pairs = pairs[pairs["verdict"].notna()]
        return None if pairs.empty else pairs.iloc[0].to_dict()


class Choice(NamedTuple):
    """The best variant within a size, with or without training."""

    most: float  # MB
    training: str  # TRAINED or UNTRAINED
    best: pd.Series | None = None  # row of `variants`; None if no variant fits
    low: float = math.nan  # ends of the paired interval of the multiple of dense
    high: float = math.nan
    cost: Cost = Cost(None, None, "")  # of making the variant
    holds: int = 0  # models on which the chain is the best, or not significantly different from the best
    compared: int = 0  # models on which the chain was measured

    @property
    def loss(self) -> str:
        """The multiple of dense with its interval; empty without a variant."""
        if self.best is None:
            return ""
        interval = interval_words(self.low, self.high, ratio_words)
        return f"{ratio_words(self.best['times_dense'])}{f' {interval}' if interval else ''}"

    def sentence(self, shown: Callable[[str], str] = str) -> str:
        """Return the answer in Markdown; `shown` escapes the variant's name."""
        start = f"At most {self.most:g} MB, {KINDS[self.training].lower()}"
        if self.best is None:
            return f"{start}, no measured chain fits."
        name, time = shown(self.best["name"]), time_words(self.cost)
        return f"{start}: **{name}** has {self.loss} times dense; time to make it: {time}."


@dataclass(frozen=True, repr=False)
class ChoiceFinding(Finding):
    """The best variants of a model within packed sizes, and the advice that follows from them.

    `rows` are those of `variants`.

    Attributes:
        advice: The sentence in Markdown.
        choices: The best of each size, the largest first, without and with training.
    """

    advice: str
    choices: tuple[Choice, ...]

    @property
    def by_size(self) -> list[list[Choice]]:
        """The choices of each size."""
        return [list(group) for _, group in groupby(self.choices, lambda one: one.most)]

    @property
    def left_out(self) -> pd.Series:
        """Why compressed variants cannot win, by key."""
        rows = self.rows[~is_dense(self.rows)].set_index("key")
        quality, values = QUALITIES[PERPLEXITY], rows[PERPLEXITY].astype(float)
        why = pd.Series("", rows.index).mask(rows[PACKED.column].isna(), LIMITS[PACKED.column].missing)
        why = why.mask(np.isinf(values), quality.infinite).mask(values.isna(), quality.unscored)
        why = why.mask(rows["own_grid"].astype(bool), OWN_GRID)
        return why[why != ""]

    @property
    def machines(self) -> str:
        """A sentence on the machines of the times; empty if nothing was measured alone."""
        known = list(dict.fromkeys(one.cost.machine for one in self.choices if one.cost.machine))
        return f"Times are of {listed(known)}, without other programs." if known else ""


def measured(model: str, frame: pd.DataFrame, reader: Reader) -> Measured:
    """Return the variants of a model on its first text."""
    corpus, protocol = next(iter(choices.texts(frame).values()))
    return Measured(model, variants(frame, corpus, protocol), (corpus, PERPLEXITY, protocol), reader)


@shared
def variants(frame: pd.DataFrame, corpus: str, protocol: str) -> pd.DataFrame:
    """Return `candidates` of a model's tidy rows on one text, with two more columns.

    `quantised` is whether a stage quantises weights, and `pruned` whether one removes block weights.
    """
    measured, scored = choices.on_text(frame, corpus, protocol), first_documents(scored_on(frame))
    rows = candidates(measured, scored)
    rounded = measured.drop_duplicates("key").set_index("key")["rounded"]
    pruned = [not PRUNING.isdisjoint(parts.split("+")) for parts in rows["parts"]]
    return rows.assign(quantised=rounded.loc[rows["key"]].to_numpy(bool), pruned=pruned)


def sizes_of(model: Measured, first: Measured) -> list[float]:
    """Return `SIZES` for a model, as the same shares of its dense size as in the first model."""
    return [size * model.dense["packed_mb"] / first.dense["packed_mb"] for size in SIZES]


@shared
def choose(models: Sequence[Measured], sizes: Sequence[float]) -> ChoiceFinding:
    """Answer which chain to use within each size.

    `models` are the model, then others on which its chains may hold. `sizes` are the most megabytes, the largest first.
    """
    first, *others = models
    results = first.reader.results(list(first.rows["keys"].explode()))
    stored = {key: result.variant for key, result in results.items()}
    found = tuple(_choice(first, others, size, training, stored) for size in sizes for training in KINDS)
    advice = _advice(first, sizes)
    return ChoiceFinding(first.rows, advice.replace("**", ""), advice, found)


def _choice(
    first: Measured, others: Sequence[Measured], most: float, training: str, stored: Mapping[str, Variant]
) -> Choice:
    found = _of_kind(first, most, training)
    if found.empty:
        return Choice(most, training)
    best = found.iloc[0]
    low = high = math.nan
    if (pair := first.compare(best["keys"], first.dense["keys"])) is not None:
        low, high = pair["ratio_low"], pair["ratio_high"]
    cost = cost_of([stored[key] for key in best["keys"] if key in stored], stored.values())
    known = [_holds(best["chain"], training, most / first.dense["packed_mb"], other) for other in others]
    there = [one for one in known if one is not None]
    return Choice(most, training, best, low, high, cost, 1 + sum(there), 1 + len(there))


def _of_kind(model: Measured, most: float, training: str) -> pd.DataFrame:
    return model.best(most, model.rows[model.rows["training"] == training])


def _holds(chain: str, training: str, share: float, other: Measured) -> bool | None:
    """Return whether a chain is the best on another model, or not significantly different; None if not measured."""
    rows = other.rows[other.rows["chain"] == chain]
    if rows[PERPLEXITY].isna().all():
        return None
    found = _of_kind(other, share * other.dense["packed_mb"], training)
    mine = found[found["chain"] == chain]
    if mine.empty or mine.index[0] == found.index[0]:
        return not mine.empty
    pair = other.compare(mine["keys"].iloc[0], found["keys"].iloc[0])
    return pair is not None and pair["verdict"] not in SIGNIFICANT


def time_words(cost: Cost) -> str:
    """Return the time of a cost, or that none was measured alone: `17 min`."""
    return NOT_ALONE if cost.seconds is None else format_duration(cost.seconds).removeprefix("about ")


def table(found: ChoiceFinding, chains: bool = False) -> pd.DataFrame:
    """Return the choices as a table with a row per size; `chains` names variants by their chains."""
    rows = [
        {SIZE: f"{group[0].most:.0f} MB"}
        | {f"{KINDS[one.training]}: {part}": cell for one in group for part, cell in _cells(one, chains).items()}
        for group in found.by_size
    ]
    return pd.DataFrame(rows, columns=COLUMNS).fillna("")


def _cells(one: Choice, chains: bool) -> dict[str, str]:
    best = one.best
    if best is None:
        return {CHAIN: NOTHING}
    cost = [time_words(one.cost), "" if one.cost.memory is None else f"{one.cost.memory / 1e9:.1f} GB"]
    return {
        CHAIN: f"`{best['chain']}`" if chains else best["name"],
        LOSS: one.loss,
        COST: ", ".join(filter(None, cost)),
        HOLDS: f"{one.holds} of {one.compared}",
    }


def _advice(model: Measured, sizes: Sequence[float]) -> str:
    """Return sentences in Markdown: how often the best usable chain is quantised and pruned, and the cost of others."""
    winners = {size: found.iloc[0] for size in sizes if len(found := model.best(size))}
    usable = {size: row for size, row in winners.items() if row["times_dense"] < USABLE_TIMES_DENSE}
    poor = f"no chain of {model.model} stays below {USABLE_TIMES_DENSE:g} times dense"
    if not usable:
        return f"At these sizes {poor}."
    quantised = [size for size, row in usable.items() if row["quantised"]]
    pruned = [size for size, row in usable.items() if row["pruned"]]
    whole = model.rows[~model.rows["quantised"]]
    others = {size: found.iloc[0] for size in quantised if len(found := model.best(size, whole))}
    worse = [row["times_dense"] / usable[size]["times_dense"] for size, row in others.items()]
    missing, rest = ([size for size in quantised if size not in others], [size for size in sizes if size not in usable])
    facts = [f"the best chain of {model.model} is quantised at {_megabytes(quantised) or 'no size'}"]
    if worse:
        times, where = _range(worse), _megabytes([*others])
        facts.append(f"without quantisation, the best has {times} times its perplexity at {where}")
    facts += [f"none fits {_megabytes(missing)} without quantisation"] * bool(missing)
    first = _sentence("Quantise first" if len(quantised) == len(usable) else "", facts)
    on_top = "Prune only on top" if set(pruned) <= set(quantised) else ""
    facts = [
        f"pruning is part of the best chain at {_megabytes(pruned)}" if pruned else "pruning is part of none of them"
    ]
    facts += [f"at {_megabytes(rest)}, {poor}"] * bool(rest)
    return f"{first} {_sentence(on_top if pruned else 'Prune last, if at all', facts)}"


def _sentence(start: str, facts: Sequence[str]) -> str:
    text = "; ".join(facts)
    return f"**{start}**: {text}." if start else f"{capitalise(text)}."


def _megabytes(sizes: Sequence[float]) -> str:
    return f"{listed([f'{size:.0f}' for size in sizes])} MB" if sizes else ""


def _range(values: Sequence[float]) -> str:
    low, high = ratio_words(min(values)), ratio_words(max(values))
    return low if low == high else f"{low} to {high}"
