"""From tidy rows (`core.analysis.frame`) to what charts and tables show: DataFrame in, DataFrame out."""

from __future__ import annotations

import math
from collections.abc import Collection, Hashable, Mapping, Sequence
from typing import Any

import pandas as pd

from core.analysis.frame import COUNTED
from core.analysis.seven import mean_of, stderr_of
from core.chain import DENSE, parse
from core.data.cards import SEVEN, TASKS
from core.errors import UserError
from core.registry import METHODS, STAGES, get_stage
from core.request.asked import reads_of
from core.results import Measurement, Result
from core.specs import ELSEWHERE, IMPORTED, RunSpec, parse_pattern
from core.words import amount

GRID = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)  # ratios that Explore offers to fill
MEAN_LABEL = "Mean of seven"
MOST_LIT = 6  # series that are told apart at a glance, also without their colours
NOT_TOLD = "amount not told"  # of what was imported without one
FOLLOWERS = {stage.name: stage.label for stage in STAGES if not stage.takes_amount and stage.name != DENSE}
POINT_COLUMNS = ["series", "method", "ratio", "pattern", "key", "where", "value", "low", "high", "seeds", "spread"]
POINT_COLUMNS += ["recovery", "untuned"]  # what it was trained with, and the series that it was trained from
SCORED = ["key", "label", "limit", "fewshot"]  # what the seven tasks of a mean have in common
POINT_COLUMNS += ["parts", "chain", "open"]  # `series` is the label; `open` the chain with its last amount left open


def scored(rows: pd.DataFrame) -> set[str]:
    """Return the keys of the compressed variants with zero-shot accuracies."""
    few = rows[["key", "metric", "dataset", "method", "recovery"]]  # a row of all columns is long
    return set(headline(few[~is_dense(few)])["key"])


def texts(frame: pd.DataFrame, here: str | None = None) -> dict[str, tuple[str, str]]:
    """Return the perplexity protocols in the frame: what users read -> (corpus, protocol id).

    First the one with most points whose accuracies are known, so that a curve and the accuracies under it are of the
    same models; then the corpus that is `here`, then the one with most points.
    """
    few = frame[["key", "dataset", "window", "windows", "protocol", "protocol_id"]]
    rows = few[(frame["metric"] == "perplexity") & frame["window"].notna()]  # LAMBADA's own has none
    known = scored(frame)
    found: dict[str, tuple[str, str]] = {}

    def rank(item: tuple[tuple[Hashable, ...], pd.DataFrame]) -> tuple:
        (dataset, _), part = item
        return -part["key"].isin(known).sum(), dataset != here, -len(part), item[0]

    for (dataset, protocol), part in sorted(rows.groupby(["dataset", "protocol_id"]), key=rank):
        first = part.iloc[0]
        name = text_name(str(dataset), first["window"], first["windows"])
        while name in found:  # the same text and windows in another dtype or version
            name += f" ({first['protocol']})"
        found[name] = (str(dataset), str(protocol))
    return found


def text_name(corpus: str, window: float, windows: float | None) -> str:
    """Write what a perplexity was measured on: `wikitext2, 16 x 2048 tokens`."""
    return f"{corpus}, {'all' if windows is None or pd.isna(windows) else int(windows)} x {int(window)} tokens"


def lit_at_first(points: pd.DataFrame) -> list[str]:
    """Return the series that are shown in colour at first: `MOST_LIT`, or all where there are no more.

    First the methods alone, of too many those with the lowest perplexities at the amount that most have; then, by what
    followed them, such as LoRA, all of a kind as long as they fit.
    """
    there = points.drop_duplicates("series").set_index("series")
    several = there["open"].str.contains("+", regex=False)
    plain = list(there.index[~several])
    if len(plain) > MOST_LIT:
        most = points["where"].mode().iloc[0]
        value = points[points["where"] == most].groupby("series")["value"].min()
        plain = sorted(plain, key=lambda series: value.get(series, math.inf))[:MOST_LIT]
    lit, chosen = set(plain), set[str]()
    for name in FOLLOWERS:
        kinds = {series: set(parts.split("+")) & set(FOLLOWERS) for series, parts in there["parts"][several].items()}
        more = lit | {series for series, kind in kinds.items() if kind and kind <= chosen | {name}}
        if len(more) <= MOST_LIT:
            lit, chosen = more, chosen | {name}
    return [series for series in there.index if series in lit]


def link(frame: pd.DataFrame, spec: RunSpec) -> dict[str, str | list[str]]:
    """Return the address of a run on Explore: its series and amount, and the texts that it was made with."""
    rows = frame[frame["key"] == spec.variant.key]
    if rows.empty:
        return {}
    first = rows.iloc[0]
    where: dict[str, str | list[str]] = {"explore_model": first["model"]}
    if spec.perplexity:
        text = spec.perplexity[0]
        where["explore_text"] = text_name(text.corpus, text.window, text.windows)
    for name, text in (("explore_calibration", first["calibration"]), ("explore_training", first["train"])):
        if isinstance(text, str):
            where[name] = text
    if first["method"] != DENSE:
        where["explore_families"] = first["family"].capitalize()
        where["explore_at"] = amount(first["ratio"], first["pattern"])
        labels = set(frame.loc[frame["model"] == first["model"], "label"])
        where["explore_series"] = [name for name in (first["untuned"], first["label"]) if name in labels]
    return where


def addresses(points: pd.DataFrame) -> dict[str, str]:
    """Return what each point is called in an address, by its key: its chain, and the series where several share it."""
    found, taken = {}, set[str]()
    for key, chain, series in zip(points["key"], points["chain"], points["series"], strict=True):
        found[key] = f"{chain} ({series})" if chain in taken else chain
        taken.add(found[key])
    return found


def variant_names(rows: pd.DataFrame) -> dict[str, str]:
    """Return a name of each variant by its key, the dense model's first: as short as tells it from the others."""
    first = rows.drop_duplicates("key")
    first = pd.concat([first[is_dense(first)], first[~is_dense(first)]])
    removed = [amount(*of) for of in zip(first["ratio"], first["pattern"], strict=True)]
    names = first["label"].str.cat([f", {one}" if one != amount(None, None) else "" for one in removed])
    for column, form in (("calibration", "{}"), ("train", "{}"), ("seed", "seed {:.0f}"), ("key", "{:.8}")):
        told = [f", {form.format(value)}" if pd.notna(value) else "" for value in first[column]]
        names = names.mask(names.duplicated(keep=False), names.str.cat(told))
    return dict(zip(first["key"], names, strict=True))


def addressed(found: dict[str, str], asked: str) -> str | None:
    """Return the key of the point that an address asks for, also where each `+` of it has become a space."""
    plain = _without_plus(asked)
    return next((key for key, name in found.items() if _without_plus(name) == plain), None)


def _without_plus(text: str) -> str:
    return " ".join(text.replace("+", " ").split())


def calibrations(rows: pd.DataFrame, known: Collection[str] = ()) -> list[str]:
    """Return the calibration sets of the rows: the one with most points among the keys `known`, then with most."""
    return _by_points(rows, "calibration", known)


def trainings(rows: pd.DataFrame, known: Collection[str] = ()) -> list[str]:
    """Return the training texts of the rows, in the order of `calibrations`."""
    return _by_points(rows, "train", known)


def _by_points(rows: pd.DataFrame, kind: str, known: Collection[str]) -> list[str]:
    counts = {str(text): (part["key"].isin(known).sum(), len(part)) for text, part in rows.groupby(kind)}
    return sorted(counts, key=counts.__getitem__, reverse=True)


def made_with(rows: pd.DataFrame, calibration: str | None, training: str | None) -> pd.DataFrame:
    """Return the rows of variants that read no other calibration text than this and were trained on no other text.

    Those whose stages differ in their texts, which their labels say, are among them.
    """
    read, trained = rows["calibration"], rows["train"]
    return rows[(read.isna() | (read == calibration)) & (trained.isna() | (trained == training))]


def is_dense(rows: pd.DataFrame) -> pd.Series:
    """Return where a row is of the dense model as it is, and not trained."""
    return (rows["method"] == DENSE) & rows["recovery"].isna()


def shown(rows: pd.DataFrame, methods: Sequence[str]) -> pd.DataFrame:
    """Return the rows of these methods, and of what no method is chosen for: dense, imported, the papers'."""
    return rows[rows["method"].isin([*methods, DENSE, *ELSEWHERE])]


def removed(row: Mapping[Hashable, Any] | pd.Series) -> str:
    """Return how much was removed of a row's variant, as `amount` writes it, or that this was not told."""
    if row["method"] == IMPORTED and pd.isna(row["ratio"]) and not isinstance(row["pattern"], str):
        return NOT_TOLD
    return amount(row["ratio"], row["pattern"])


def dense_key(rows: pd.DataFrame) -> str | None:
    """Return the key of the dense model, of several that which has most of the rows; None where none is among them."""
    keys = rows.loc[is_dense(rows), "key"]
    return None if keys.empty else str(keys.mode().iloc[0])


def collapse(rows: pd.DataFrame) -> pd.DataFrame:
    """Return one point for each series, ratio and pattern. Several seeds give their mean, and their range as bars.

    `rows` are of one metric, data set and protocol. `low` and `high` are value -/+ stderr, or the range over seeds.
    """
    return _collapsed(rows, [])


def _collapsed(rows: pd.DataFrame, beside: list[str]) -> pd.DataFrame:
    """Return what `collapse` does of each of several numbers, which differ in the columns `beside`."""
    if rows.empty:
        return pd.DataFrame(columns=[*POINT_COLUMNS, *COUNTED, *beside])
    ordered = _by_point(rows, beside)
    ordered["value"] = ordered["value"].fillna(math.inf)
    ordered[list(COUNTED)] = ordered[list(COUNTED)].astype(float)
    groups = ordered.groupby("point")
    values, counted = groups["value"].agg(["mean", "min", "max", "size"]), groups[list(COUNTED)].mean()
    points = []
    first = ordered.drop_duplicates("point").to_dict("records")
    told, counts = values.itertuples(index=False, name=None), counted.to_dict("records")
    for row, (value, least, most, seeds), of_counted in zip(first, told, counts, strict=True):
        if seeds > 1:
            low, high = least, most
            spread = f", mean of {seeds} seeds from {low:.4g} to {high:.4g}"
        else:
            stderr = float(row["stderr"]) if pd.notna(row["stderr"]) else 0.0
            low, high = value - stderr, value + stderr
            spread = f" ± {stderr:.2g} (standard error)" if stderr else ""
        pattern, recovery, untuned = (_text(row[name]) for name in ("pattern", "recovery", "untuned"))
        where = removed(row)
        fixed = [row["label"], row["method"], row["ratio"], pattern, row["key"], where, value, low, high, seeds]
        made = [recovery, untuned, row["parts"], row["chain"], row["series"]]
        point = dict(zip(POINT_COLUMNS, [*fixed, spread, *made], strict=True))
        points.append(point | of_counted | {name: row[name] for name in beside})
    return pd.DataFrame(points, columns=[*POINT_COLUMNS, *COUNTED, *beside])


def _by_point(rows: pd.DataFrame, beside: list[str]) -> pd.DataFrame:
    """Return rows with the number of the `point` that each is of, ordered by these and the seeds."""
    place = rows.groupby(["label", "ratio", "pattern"], dropna=False, sort=False).ngroup()
    if beside:
        number = rows.groupby(beside, sort=False).ngroup()
        place += number * (place.max() + 1)
    return rows.assign(point=place).sort_values(["point", "seed"])


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def by_seed(rows: pd.DataFrame) -> list[tuple[str, ...]]:
    """Return the keys of each point that `collapse` makes of the rows, by seed, the one first that it names."""
    found: dict[int, list[str]] = {}
    ordered = _by_point(rows, []).drop_duplicates(["point", "key"]) if len(rows) else rows.assign(point=0)
    for point, key in zip(ordered["point"], ordered["key"], strict=True):
        found.setdefault(point, []).append(key)
    return [tuple(keys) for keys in found.values()]


def amounts(points: pd.DataFrame) -> list[str]:
    """Return the ratios among the points in ascending order, then the patterns: what the slider offers."""
    ratios = sorted(points.loc[points["pattern"].isna(), "ratio"].dropna().unique())
    patterns = sorted(points["pattern"].dropna().unique(), key=lambda text: [int(part) for part in text.split(":")])
    return [amount(ratio, None) for ratio in ratios] + patterns[::-1]


def headline(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the accuracies that papers report: each known task's own metric, with its `task` label and `chance`."""
    named = {str(name): TASKS.get(str(name).partition("@")[0]) for name in frame["dataset"].unique()}
    cards = {name: card for name, card in named.items() if card}
    rows = frame[frame["metric"] == frame["dataset"].map({name: card.metric for name, card in cards.items()})]
    found = [cards[name] for name in rows["dataset"]]
    return rows.assign(task=[card.label for card in found], chance=[card.chance for card in found])


def scored_on(frame: pd.DataFrame) -> pd.DataFrame:
    """Return `headline` with the documents of each task in `limit`, 0 for all, and the precision in `scoring`."""
    rows = headline(frame)
    return rows.assign(limit=rows["limit"].fillna(0.0), scoring=rows["scoring"].fillna(rows["dtype"]))


def one_protocol(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of each data set's most frequent protocol, so that no other one shares its axis."""
    if rows.empty:
        return rows
    most = rows.groupby("dataset")["protocol_id"].transform(lambda ids: ids.mode().iloc[0])
    return rows[rows["protocol_id"] == most]


def at_amount(rows: pd.DataFrame, chosen: str) -> pd.DataFrame:
    """Return the rows of the dense model and of those with `chosen` removed (as `amount` writes it).

    What was imported stands beside every amount where nothing was removed of it, or not told how much.
    """
    there = _removals(rows)
    anywhere = (rows["method"] == IMPORTED) & there.isin((NOT_TOLD, amount(0, None)))
    return rows[is_dense(rows) | anywhere | (there == chosen)]


def _removals(rows: pd.DataFrame) -> pd.Series:
    """Return what `removed` says of every row."""
    told = rows[["method", "ratio", "pattern"]]
    group = told.groupby(list(told), dropna=False, sort=False).ngroup()  # few, of many rows
    first = told.assign(group=group).drop_duplicates("group")
    return group.map({row["group"]: removed(row) for row in first.to_dict("records")}).astype(object)


def accuracies(rows: pd.DataFrame) -> pd.DataFrame:
    """Return what `dots.accuracy_dots` draws, seeds collapsed, from `headline` rows of one limit and amount."""
    return _collapsed(rows, ["task", "chance", "metric"]) if len(rows) else pd.DataFrame()


def seven_means(rows: pd.DataFrame) -> pd.DataFrame:
    """Return each variant's mean over the seven tasks (key, label, where, mean, stderr), where it has all seven."""
    wanted = rows["dataset"].map({name: TASKS[name].metric for name in SEVEN})
    of_seven = rows[rows["metric"] == wanted].drop_duplicates([*SCORED, "dataset"], keep="last")
    size = of_seven.groupby(SCORED, dropna=False)["dataset"].transform("size")
    whole = of_seven[size == len(SEVEN)]
    if whole.empty:
        return pd.DataFrame(columns=["key", "label", "where", "mean", "stderr"])
    group = whole.groupby(SCORED, dropna=False, sort=False).ngroup()
    task = whole["dataset"].map(SEVEN.index)
    whole = whole.assign(group=group, task=task).sort_values(["group", "task"])
    first = whole.iloc[:: len(SEVEN)]
    values, errors, n = (whole[name].to_numpy(float).reshape(-1, len(SEVEN)) for name in ("value", "stderr", "n"))
    means = pd.DataFrame(
        {
            "key": first["key"],
            "label": first["label"],
            "where": _removals(first),
            "mean": mean_of(values),
            "stderr": stderr_of(errors),
        }
    )
    # Of several protocols the one with the most documents counts, and of these the first.
    most = means.assign(n=n.sum(axis=1)).sort_values("n", ascending=False, kind="stable").drop_duplicates(SCORED[:2])
    shown = rows[SCORED[:2]].drop_duplicates()
    return shown.merge(most.drop(columns="n"), on=SCORED[:2])[list(means)]


def over_seeds(means: pd.DataFrame) -> tuple[float, float, float]:
    """Return the mean of one point's `seven_means`, and its ends: one standard error away, or those of the seeds."""
    values, stderr = means["mean"], means["stderr"].fillna(0.0).iloc[0]
    value = float(values.mean())
    return (value, values.min(), values.max()) if len(means) > 1 else (value, value - stderr, value + stderr)


def with_mean(shown: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """Return `accuracies` with a last row of tasks, the mean of seven, for the points that have all seven."""
    means = {label: part for label, part in seven_means(rows).groupby("label")}
    added = []
    for _, first in shown.drop_duplicates("series").iterrows():
        if first["series"] not in means:
            continue
        mine = means[first["series"]]
        value, low, high = over_seeds(mine)
        spread = f", mean of {len(mine)} seeds" if len(mine) > 1 else f" ± {high - value:.2g} (standard error)"
        row = {"task": MEAN_LABEL, "chance": None, "metric": "as the papers take it", "value": value}
        added.append(first.to_dict() | row | {"low": low, "high": high, "spread": spread})
    return pd.concat([shown, pd.DataFrame(added)], ignore_index=True) if added else shown


SPEEDS = {"prefill": "Read a token (ms)", "decode": "Write a token (ms)", "memory": "Peak memory (MB)"}


def speeds(result: Result, dense: Result | None) -> pd.DataFrame:
    """Return a variant's latency and peak memory by batch size beside the dense model's on the same kind of device."""

    def device(row: Measurement) -> str | None:
        return row.details.get("device")

    rows = []
    for row in result.measurements:
        if row.metric not in SPEEDS:
            continue
        twin = dense.measurement(row) if dense else None
        base = twin.value if twin and device(twin) == device(row) else math.nan
        ratio = base / row.value
        rows.append((SPEEDS[row.metric], row.protocol["batch"], row.value, base, ratio))
    return pd.DataFrame(rows, columns=["What", "Batch", "Measured", "Dense", "Dense / measured"])


def missing(points: pd.DataFrame, methods: Sequence[str], patterns: Sequence[str] = ()) -> dict[str, list[str]]:
    """Return by label the chains of these plain methods, such as `wanda@0.5`, that the grid has and the points lack."""
    known = {method.name for method in METHODS}
    return {get_stage(name).label: _lacking(points, f"{name}@", patterns) for name in methods if name in known}


def missing_chains(points: pd.DataFrame, patterns: Sequence[str] = ()) -> dict[str, list[str]]:
    """Return the same of each series of several stages, none of which trains, that has a point."""
    several = points[points["open"].str.contains("+", regex=False)].drop_duplicates("open")
    return {
        row["series"]: _lacking(points, row["open"], patterns)
        for _, row in several.iterrows()
        if quickly_made(row["open"])
    }


def _lacking(points: pd.DataFrame, name: str, patterns: Sequence[str]) -> list[str]:
    """Return the chains that fill the open amount of a series by the grid, without those that are there."""
    try:
        stages = parse(name)
    except UserError:  # of a version with other methods
        return []
    last = next((place for place, stage in enumerate(stages) if stage.open), None)
    if last is None:
        return []
    method = get_stage(stages[last].name)
    gone = max((_share(stage.ratio, stage.pattern) for stage in stages[:last]), default=0.0)
    there = points["ratio"][points["pattern"].isna()].dropna()
    ratios = sorted({*GRID, *(round(float(ratio), 6) for ratio in there)})
    wanted = [(f"{ratio:g}", ratio) for ratio in ratios if ratio <= method.highest_offered]
    if method.patterns:
        wanted += [(pattern, _share(None, pattern)) for pattern in patterns]
    start = stages[last].amount_place
    chains = [f"{name[:start]}{text}{name[start:]}" for text, share in wanted if share > gone]
    have = set(points["chain"][points["open"] == name])
    return [chain for chain in chains if chain not in have]


def quickly_made(chain: str) -> bool:
    """Whether a written chain can be made without training, which takes long."""
    try:
        return all(reads_of(stage) != "training" for stage in parse(chain))
    except UserError:  # of a version with other methods
        return False


def _share(ratio: float | None, pattern: str | None) -> float:
    """Return the share of weights that an amount removes."""
    if pattern:
        kept, group = parse_pattern(pattern)
        return 1 - kept / group
    return ratio or 0.0


def chain_amount(chain: str) -> tuple[float | None, str | None]:
    """Return the last amount of a written chain as ratio or pattern."""
    amounts = [(stage.ratio, stage.pattern) for stage in parse(chain) if stage.ratio is not None or stage.pattern]
    return amounts[-1] if amounts else (None, None)
