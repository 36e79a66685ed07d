"""The question which variant of a model is best, as a command or Python asks it, and its answer."""

from dataclasses import dataclass

import pandas as pd

from core.amount import Amount
from core.base.errors import UserError, unknown
from core.findings.best import ranking
from core.findings.best.budget import LIMITS, PERPLEXITY, Budget, answers, budget_words, limits, winner
from core.findings.best.candidates import TRAINED, UNTRAINED, accepted
from core.findings.best.qualities import quality_of
from core.findings.estimates.rule import written_chains
from core.findings.estimates.words import likely_better
from core.findings.files import FORM, with_files
from core.findings.finding import Finding, Reader
from core.findings.rows import points, zeroshot
from core.findings.rows.choices import choose_text
from core.findings.rows.zeroshot import first_documents
from core.findings.within import BudgetQuery, Within, gather, rank, small_size, within
from core.notation.formatting import format_amount
from core.request.combining import WrittenChain
from core.shipping.base import Format
from core.specs import Perplexity

COLUMNS = (
    *("key", "series_label", "amount_label", "chain", "calibration", "train", "training", "family"),
    *("packed_mb", "file_mb", "bits_per_weight", "decode_ms", "times_dense", "interval_low", "interval_high"),
    *("perplexity", "above_chance", "fits", "misses"),
)


@dataclass(frozen=True)
class Question:
    """Which variant of a model has the lowest perplexity."""

    model: str  # display name
    budget: Budget
    at: Amount | None = None  # that variants must have; None: any
    family: str | None = None  # of their method; None: any
    text: Perplexity | None = None  # of the perplexities; None: that of most variants with accuracies
    training: bool = True  # whether variants may be trained
    only: Format | None = None  # that they must fit, whose file the limit of megabytes then means

    @property
    def name(self) -> str:
        """The variants in question: `toy (low rank) at 50 % as GGUF`."""
        family = "" if self.family is None else f" ({self.family})"
        amount = "" if self.at is None else f" at {format_amount(self.at)}"
        form = "" if self.only is None else f" as {self.only.label}"
        return f"{self.model}{family}{amount}{form}"

    @property
    def size(self) -> str:
        """The column of the size that it limits."""
        return "packed_mb" if self.only is None else "file_mb"

    @property
    def of_size(self) -> bool:
        """Whether it asks for the smallest variant: the perplexity has the only limit."""
        return self.at is None and set(limits(self.budget)) == {"times_dense"}

    def __post_init__(self) -> None:
        if not limits(self.budget) and self.at is None:
            raise UserError("There is no limit; give one, such as 90 MB, or an amount, such as 0.5.")


@dataclass(frozen=True, repr=False)
class BestFinding(Finding):
    """The answer to a `Question`.

    `rows` has the variants that fit, the best first, or the nearest misses; a row each.

    Attributes:
        question: The question.
        within: Every variant that it looked at.
        winner: Key of the best variant; None if no variant fits.
        untrained: Key of the best variant without training, if the best one is trained.
        estimate: The chain that is estimated to be better, if there is one.
    """

    question: Question
    within: Within
    winner: str | None
    untrained: str | None = None
    estimate: WrittenChain | None = None

    @property
    def dense(self) -> pd.DataFrame:
        """The dense model's row, if known."""
        return self.within.gathered.dense

    @property
    def unmeasured(self) -> str | None:
        """Key of the smallest variant that may fit, as a limited quantity of it is not measured; None without one."""
        rows = self.within.rows
        rows = rows[rows["undecided"] & rows["ranked"]].sort_values("packed_mb", kind="stable")
        return None if rows.empty else str(rows["key"].iloc[0])


def answer(question: Question, rows: pd.DataFrame, here: str, reader: Reader) -> BestFinding:
    """Answer a question.

    `rows` are all tidy rows of its model, and `here` is the usual corpus of this machine.

    Raises:
        UserError: The model has no perplexity, or not this one, or no variant of this amount or family.
    """
    corpus, protocol = choose_text(rows, question.text, question.model, here)
    gathered = gather(rows, corpus, protocol, first_documents(zeroshot.scored_on(rows)))
    if question.at is not None:  # the ratio of some layers only is no ratio of the model
        some = gathered.every["chain"].str.contains(",layers=", regex=False)
        gathered = gathered._replace(every=gathered.every[~some])
    files = None
    if question.only is not None:
        every, files = with_files(gathered.every, [question.only], reader)
        gathered = gathered._replace(every=every)
    query, filters = BudgetQuery(quality_of(PERPLEXITY, corpus), question.budget), _filters(question, gathered.every)
    found = within(gathered, query, filters, reader, files)
    rows, best, untrained = answers(found.rows), found.winner, None
    if question.of_size:
        rows, best = _smallest(question, found)
    elif best is not None and best["training"] == TRAINED:
        others = accepted(gathered.every, filters | {"training": [UNTRAINED]})
        untrained = winner(rank(others, gathered.dense, gathered.numbers(PERPLEXITY), query, reader))
    first, other = (None if one is None else str(one["key"]) for one in (best, untrained))
    sentence = _sentence(question, found, rows, best, untrained)
    better = None if question.of_size else likely_better(found.estimates, found.winner)
    estimate = None if better is None else written_chains(better.to_frame().T)[0]
    shown = rows[[column for column in COLUMNS if column in rows]].reset_index(drop=True)
    return BestFinding(shown, sentence, question, found, first, other, estimate)


def small_ones(rows: pd.DataFrame, model: str, here: str, reader: Reader) -> list[str]:
    """Return the keys of a model's variants within `small_size`, the best first; empty without the dense model.

    The arguments are those of `answer`, and `model` is the display name.
    """
    if rows[(rows["metric"] == PERPLEXITY) & points.is_dense(rows)].empty:
        return []
    corpus, protocol = choose_text(rows, None, model, here)
    gathered = gather(rows, corpus, protocol, first_documents(zeroshot.scored_on(rows)))
    if gathered.dense.empty:
        return []
    query = BudgetQuery(quality_of(PERPLEXITY, corpus), Budget(packed_mb=small_size(gathered.dense)))
    found = within(gathered, query, {}, reader).rows
    return list(found.loc[found["fits"] & found["ranked"], "key"])


def _smallest(question: Question, found: Within) -> tuple[pd.DataFrame, pd.Series | None]:
    """Return the variants within a perplexity, the smallest first, and this one; without any, the nearest misses."""
    fitting = found.rows[found.rows["fits"] & found.rows["ranked"]]
    rows = fitting.dropna(subset=question.size).sort_values(question.size, kind="stable")
    return (answers(found.rows), None) if rows.empty else (rows, rows.iloc[0])


def _sentence(
    question: Question, found: Within, rows: pd.DataFrame, best: pd.Series | None, untrained: pd.Series | None
) -> str:
    if question.of_size and best is not None:
        limit, quality = budget_words(question.budget), found.query.quality
        facts = [LIMITS[question.size].value(best[question.size]), *ranking.facts(best, Budget(), quality)[:1]]
        text = f"The smallest of {len(rows)} variants of {question.name} with {limit} is {best['name']}"
        return f"{text}: {', '.join(facts)}."
    sentences = [one.replace(f" {ranking.UNLIMITED}", "") for one in found.sentences(question.name)]
    if untrained is not None:
        facts = ranking.facts(untrained, question.budget, found.query.quality)
        sentences.insert(1, f"Without training: **{untrained['name']}**, {', '.join(facts)}.")
    return "\n".join(sentences).replace("**", "")


def _filters(question: Question, every: pd.DataFrame) -> dict[str, list[str]]:
    """Return the accepted values of columns; raise `UserError` if no variant has one of them."""
    wanted: dict[str, str | None] = {
        "amount_label": None if question.at is None else format_amount(question.at),
        "family": question.family,
        "training": None if question.training else UNTRAINED,
        FORM: None if question.only is None else question.only.label,
    }
    compressed = every[~points.is_dense(every)]
    for column, name in (("amount_label", "amount"), ("family", "family")):
        there = list(dict.fromkeys(compressed[column]))
        if (value := wanted[column]) is not None and value not in there:
            raise unknown(name, value, there)
    return {column: [value] for column, value in wanted.items() if value is not None}
