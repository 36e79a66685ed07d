"""The variants within a budget, in words and as a table, from rows of `core.findings.best.budget.ranked`."""

from collections.abc import Callable, Sequence

import pandas as pd

from core.findings.axes import DECODE, FILE, MEMORY, PACKED, PARAMETERS, PREFILL, SEVEN_TITLE
from core.findings.best.answer import tied
from core.findings.best.budget import (
    ACCURACY,
    LIMITS,
    PERPLEXITY,
    USABLE_TIMES_DENSE,
    Budget,
    budget_words,
    diverged,
    limits,
    winner,
)
from core.findings.best.qualities import QUALITIES, Quality
from core.findings.cost import needs
from core.findings.files import FORM, file_distance
from core.findings.numbers.reporting import (
    UNADJUSTED,
    TableRow,
    interval_words,
    p_words,
    point_words,
    ratio_words,
    verdict_text,
)
from core.findings.numbers.verdicts import SIGNIFICANT
from core.findings.pairs import comparison
from core.findings.pairs.paired import CANNOT, INTERVAL
from core.findings.rows.points import VARIANT
from core.metrics import MEANS
from core.notation.chain import DENSE
from core.notation.formatting import format_amount
from core.results import Result
from core.shipping.formats import file_megabytes

PARTS = {"half": 1 / 2, "a third": 1 / 3, "a quarter": 1 / 4}
NEAR = 0.05  # share of one of `PARTS` within which a size has its name
MUCH = 0.5  # more perplexity, from which it is written as a multiple
NAMED = 3  # nearest misses in the answer
ON_FRONT = "On the front"
DIVERGED = "diverged"
OWN_GRID = "the file's own grid"
COLUMNS = {  # further columns, for limits and for the cost
    **{one.name: one.title for one in MEANS.values()},
    "bits_per_weight": "Bits per weight",
    **{axis.column: axis.title for axis in (PARAMETERS, PREFILL, DECODE, MEMORY)},
}
FORMATS = comparison.FORMATS | {"Times dense": "%.3g"} | dict.fromkeys(file_megabytes([]), "%.1f")
UNLIMITED = "Set a limit to find the best variant within it."
TO_FIRST, ADJUSTED = "Compared with the first", "Adjusted p"
WIDTHS = {VARIANT: 230, "Amount": 70, INTERVAL: 120, ON_FRONT: 105, "Misses by": 270, ADJUSTED: 95}


def with_intervals(found: pd.DataFrame, intervals: pd.DataFrame | None, quality: Quality) -> pd.DataFrame:
    """Return rows with `interval_low` and `interval_high`, the ends of an interval of the quality.

    Those of perplexities are ratios to dense and those of accuracies differences to dense, as shares. Others are those
    of the value. They are NaN without an interval.

    `intervals` are rows of `core.findings.numbers.differences` to the dense model, or `low` and `high` of the value, by
    key of the variant.
    """
    if intervals is None:
        return found.assign(interval_low=float("nan"), interval_high=float("nan"))
    known = intervals[list(quality.ends)].reindex(found["key"]).set_axis(found.index).astype(float)
    return found.assign(interval_low=known[quality.ends[0]], interval_high=known[quality.ends[1]])


def interval_of(row: TableRow | pd.Series, quality: Quality) -> str | None:
    """Write the interval of a row of `with_intervals`; None without one."""
    return interval_words(row.get("interval_low"), row.get("interval_high"), quality.end_written)


def headline(found: pd.DataFrame, dense: pd.DataFrame, budget: Budget, quality: Quality, model: str) -> str:
    """Return the answer as one plain sentence; `dense` is the dense model's row, if known."""
    best = winner(found)
    if not limits(budget):
        return f"{model}, by size"
    size = PACKED.column if budget.file_mb is None else FILE.column
    most = limits(budget).get(size)
    room = f"fits in {'a file of ' * (size == FILE.column)}{most or 0:g} MB"
    if best is None:
        ranked = "ranked " if found["fits"].any() else ""
        return f"No {ranked}variant of {model} {'is within the limits' if most is None else room}"
    if most is None or quality.column != PERPLEXITY or dense.empty:
        return f"{best['name']} has the {quality.best} of {model}"
    part, loss = part_words(best[size] / dense[PACKED.column].iloc[0]), loss_words(best["times_dense"])
    return f"{model} {room}, {part} of its size, with {loss}"


def part_words(share: float) -> str:
    """Write a share of the dense size: `a third`, `45 %`."""
    return next((word for word, one in PARTS.items() if abs(share - one) < NEAR * one), f"{100 * share:.0f} %")


def loss_words(times_dense: float) -> str:
    """Write a multiple of the dense perplexity: `2 % more perplexity`, `1.6 times the perplexity`."""
    more = times_dense - 1
    if more >= MUCH:
        return f"{ratio_words(times_dense)} times the perplexity"
    return f"{abs(100 * more):.0f} % {'more' if more > 0 else 'less'} perplexity"


def answer(
    found: pd.DataFrame,
    budget: Budget,
    quality: Quality,
    model: str,
    shown: Callable[[str], str] = str,
    differences: pd.DataFrame | None = None,
) -> str:
    """Return the answer in Markdown: the best variant within a budget, or the nearest misses.

    If no variant within the budget stays below `USABLE_TIMES_DENSE` times the dense perplexity, the answer says so,
    names the best nevertheless, and names the nearest variant that does.

    `found` are rows of `with_intervals`. `differences` are those of `core.findings.numbers.differences` to the best, by
    key of the compared variants. `shown` escapes a name for Markdown.
    """
    asked = budget_words(budget)
    within = f"{shown(model)} with {asked}" if asked else shown(model)
    fitting, best = found[found["fits"]], winner(found)
    if fitting.empty:
        nearest = [f"- **{shown(row['name'])}**: {_miss(row)}" for _, row in found.head(NAMED).iterrows()]
        start = f"No variant of {shown(model)} fits the budget: {asked}. Nearest:"
        return "\n".join([start, *nearest, *([f"- {text}"] if (text := _usable(found, NAMED, shown)) else [])])
    if best is None:
        text = f"{_counted(len(fitting))} of {within} {'fits' if len(fitting) == 1 else 'fit'}, but none can be ranked."
        return " ".join([text, *_rest(found, quality, False)])
    ranked = int(fitting["ranked"].sum())
    usable = fitting["times_dense"].lt(USABLE_TIMES_DENSE) & ~fitting["own_grid"]
    poor = not usable.any() and pd.notna(best["times_dense"])
    listed = ", ".join(facts(best, budget, quality))
    if poor:
        text = f"No variant of {within} stays below {USABLE_TIMES_DENSE:g} times the dense perplexity. "
        one = f"best of {ranked}" if ranked > 1 else "only ranked one"
        text += f"The {one} is **{shown(best['name'])}**: {listed}."
    elif ranked == 1:
        text = f"**{shown(best['name'])}** is the only ranked variant of {within}: {listed}."
    else:
        text = f"Of {ranked} variants of {within}, **{shown(best['name'])}** has the {quality.best}: {listed}."
    sentences = [text]
    if differences is not None:
        judged = differences["verdict"].dropna()
        tied_keys = set(judged[~judged.isin(SIGNIFICANT)].index)
        if ties := [shown(row["name"]) for _, row in fitting.iterrows() if row["key"] in tied_keys]:
            sentences.append(f"It is {tied(ties)}.")
    sentences += _rest(found, quality, True)
    if poor and (text := _usable(found, 0, shown)):
        sentences.append(f"{text}.")
    if not limits(budget):
        sentences.append(UNLIMITED)
    return " ".join(sentences)


def _counted(count: int, more: bool = False) -> str:
    return f"{count}{' more' if more else ''} variant{'s' if count > 1 else ''}"


def facts(best: pd.Series, budget: Budget, quality: Quality) -> list[str]:
    """Return the chosen quality with its interval, the packed size, the limited quantities and the usual qualities."""
    interval, missing = interval_of(best, quality), "no paired interval" if quality.paired else "no interval"
    bounds = [f"{UNADJUSTED} {interval}"] if interval else [] if best["family"] == DENSE else [missing]
    lost = [point_distance(best[quality.lost])] if quality.lost and pd.notna(best[quality.lost]) else []
    broken = [DIVERGED] if _is_diverged(best) else []
    if quality.column == PERPLEXITY:
        facts = [_with_notes(quality.words(best), [*broken, *bounds])]
    else:
        facts = [_with_notes(quality.words(best), [*lost, *bounds])]
        facts += [_with_notes(QUALITIES[PERPLEXITY].words(best), broken)] if pd.notna(best[PERPLEXITY]) else []
    elsewhere = {"times_dense", ACCURACY, quality.column}  # written above or below
    columns = [PACKED.column, *(column for column in limits(budget) if column not in elsewhere)]
    facts += [LIMITS[column].value(best[column]) for column in dict.fromkeys(columns) if pd.notna(best[column])]
    if quality.column != ACCURACY and pd.notna(best[ACCURACY]):
        facts.append(LIMITS[ACCURACY].value(best[ACCURACY]))
    return facts


def _with_notes(text: str, notes: Sequence[str]) -> str:
    return f"{text} ({', '.join(notes)})" if notes else text


def _is_diverged(row: pd.Series) -> bool:
    return bool(diverged(row.to_frame().T).iloc[0])


def point_distance(lost: float) -> str:
    """Write a difference of accuracies to the dense model: `2.5 points below dense`."""
    return f"{point_words(abs(lost)).removeprefix('+')} points {'below' if lost < 0 else 'above'} dense"


def _rest(found: pd.DataFrame, quality: Quality, named: bool) -> list[str]:
    """Return sentences on the variants that are not ranked, with reasons; `named` is whether others are."""
    fitting, sentences = found[found["fits"]], []
    own = int((fitting["own_grid"] & fitting["scored"]).sum())
    if own:
        restores = "restores" if own == 1 else "restore"
        sentences.append(f"{_counted(own, named)} only {restores} the grid of the model's own file.")
    infinite = fitting["scored"] & ~fitting["ranked"] & ~fitting["own_grid"]
    for count, why in ((int(infinite.sum()), quality.infinite), (int((~fitting["scored"]).sum()), quality.unscored)):
        if count:
            sentences.append(f"{_counted(count, named)} {'fits' if count == 1 else 'fit'}: {why}.")
    unknown = found.loc[found["undecided"], "misses"].value_counts()
    return sentences + [f"{_counted(count, named)} may fit: {why}." for why, count in unknown.items()]


def _usable(found: pd.DataFrame, named: int, shown: Callable[[str], str]) -> str:
    """Return the nearest miss below `USABLE_TIMES_DENSE` times dense, unless it is among the first `named` misses."""
    missing = found[~found["fits"] & found["excess"].notna() & ~found["own_grid"]]
    usable = missing[missing["times_dense"] < USABLE_TIMES_DENSE]
    if usable.empty or usable.index[0] in found.index[:named]:
        return ""
    row = usable.iloc[0]
    return f"The nearest below {USABLE_TIMES_DENSE:g} times dense is **{shown(row['name'])}**: {_miss(row)}"


def _miss(row: pd.Series) -> str:
    """Write by how much a row misses the budget, and its multiple of the dense perplexity."""
    if pd.isna(row["times_dense"]):
        return str(row["misses"])
    return f"{row['misses']}; {QUALITIES[PERPLEXITY].words(row)}{f', {DIVERGED}' if _is_diverged(row) else ''}"


def ranking(
    found: pd.DataFrame,
    budget: Budget,
    cost: str,
    quality: Quality,
    stored: Sequence[Result | None],
    differences: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Return `core.findings.best.budget.answers` as a table in their order, the best first.

    `found` are rows of `core.findings.best.budget.answers` and `with_intervals`. `stored` are their results, for the
    sizes of their files. `differences` are as of `answer`.
    """
    asked = (cost, *limits(budget))
    more = [column for column in COLUMNS if column in asked and column != quality.column]
    files = file_megabytes(stored)
    intervals = {INTERVAL: [interval_of(row, quality) for row in found.to_dict("records")]}
    others = [one for one in QUALITIES.values() if one.always and one.column != quality.column]
    tested = _tested(differences)
    table = pd.DataFrame(
        {
            VARIANT: found["name"],
            "Amount": found["amount_label"].replace(format_amount(None), "0 %"),
            "Misses by": found["misses"],
            **_columns(found, quality),
            PACKED.title: found["packed_mb"],
            **files,
            **(_file_columns(found, stored) if FORM in found else {}),
            TO_FIRST: found["key"].map(tested["verdict"]),
            ON_FRONT: pd.Series("yes", found.index).where(found["front"]).mask(found["own_grid"], OWN_GRID),
            **intervals,
            ADJUSTED: found["key"].map(tested["p"]),
            **{title: values for one in others for title, values in _columns(found, one).items()},
            **{COLUMNS[column]: LIMITS[column].times * found[column] for column in more},
            SEVEN_TITLE: 100 * found["mean_of_seven"],
            "Perplexity": found[PERPLEXITY],
            "Chain": found["chain"],
        }
    )
    idle = ["Misses by" if found["fits"].any() else ON_FRONT, *([TO_FIRST, ADJUSTED] if differences is None else [])]
    return table.drop(columns=idle)


def _file_columns(found: pd.DataFrame, stored: Sequence[Result | None]) -> dict[str, Sequence[str | None]]:
    """Return the distance of each file, and the data and the time that making it needs."""
    made = [", ".join(needs(one.variant)) if one else "" for one in stored]
    return {"File / dense": [file_distance(row) for row in found.to_dict("records")], "Made with": made}


def _columns(found: pd.DataFrame, quality: Quality) -> dict[str, pd.Series]:
    """Return the columns of a quality by their title, in display units."""
    return {title: quality.times * found[column] for column, title in quality.columns}


def _tested(differences: pd.DataFrame | None) -> dict[str, dict[str, str]]:
    """Return by key the `verdict`, or that there is no pair, and the adjusted `p`."""
    rows = {} if differences is None else differences.to_dict("index")
    verdicts = {str(key): CANNOT if pd.isna(row["verdict"]) else verdict_text(row) for key, row in rows.items()}
    return {"verdict": verdicts, "p": {str(key): p_words(row["p_adjusted"]) for key, row in rows.items()}}
