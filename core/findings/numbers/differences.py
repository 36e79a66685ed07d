"""Paired differences between variants in every number that both have, with verdicts."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from itertools import chain
from math import sqrt
from typing import NamedTuple

import numpy as np
import pandas as pd
from pandas import DataFrame

from core.base.errors import UserError
from core.data.cards import SEVEN, TASKS
from core.findings.numbers.frame import protocol_sentence, tidy
from core.findings.numbers.intervals import summed
from core.findings.numbers.paired import (
    PAIRED,
    Baselines,
    Difference,
    baselines,
    difference,
    distance_interval,
    mean_difference,
    one_answer,
)
from core.findings.numbers.seven import (
    ABOVE_CHANCE,
    MEAN,
    accuracies_of,
    by_protocol,
    chance_of,
    common,
    counted_tasks,
    mean,
    mean_above_chance,
)
from core.findings.numbers.verdicts import CONTAINED, SEEDS, TWO_MODELS, holm, verdict
from core.metrics import DISTANCES, MEANS, metric
from core.models.names import same_model
from core.results import Measurement, Result
from core.specs import Scalar, sha256
from core.statistics.correlations import DIFFERENCES, INTERVAL, ErrorOf, error_of, interval_note
from core.statistics.longrun import StandardError, independent

NUMBER = ("dataset", "metric", "protocol_id")  # columns that identify a number
NOTE = "interval_note"  # column with the reason of a widened interval
FIGURES = tuple(Difference.model_fields)
COLUMNS = (
    *("key", "reference_key", *NUMBER, "protocol", "reference", "value", *FIGURES),
    *("p_adjusted", "comparisons", "verdict", "unpaired_reason", *Baselines._fields, "one_answer", NOTE, SEEDS),
)
DIFFERENCE_COLUMNS = {  # names next to the columns of `tidy`, some of which have the same names
    **{"difference": "difference", "low": "difference_low", "high": "difference_high"},
    **{name: f"perplexity_{name}" for name in ("ratio", "ratio_low", "ratio_high")},
    **{"gained": "flips_to_right", "lost": "flips_to_wrong"},
    **{
        name: name
        for name in ("p", "p_adjusted", "comparisons", "verdict", "unpaired_reason", "one_answer", NOTE, SEEDS)
    },
}
UNKNOWN = Baselines(None, None)
OTHER_WORDS = "cannot be paired: the models have different tokenizers, so their windows contain different words"

Samples = Callable[[str, Measurement], DataFrame | None]  # as `Store.samples`


class SeedVariance(NamedTuple):
    """The variance of a number between the seeds of a method; of a perplexity, that of its logarithm."""

    variance: float  # 0 for a method without a seed
    freedom: int  # degrees


SeedsOf = Callable[[Result, Measurement], SeedVariance | None]  # None if no seeds are stored


def unknown_seeds(result: Result, number: Measurement) -> SeedVariance | None:
    """Return the `SeedsOf` without any stored seeds."""
    return None if result.variant.seeded else SeedVariance(0.0, 1)


def differences(
    results: Sequence[Result],
    reference: Result,
    samples: Samples,
    dense: Iterable[Result] = (),
    seeds: SeedsOf = unknown_seeds,
) -> pd.DataFrame:
    """Return the `paired_differences` of the other results to the reference."""
    key = reference.variant.key
    pairs = [(reference, result) for result in results if result.variant.key != key]
    return paired_differences(pairs, samples, dense, seeds)


def differences_to_dense(results: Sequence[Result], samples: Samples, seeds: SeedsOf = unknown_seeds) -> pd.DataFrame:
    """Return the `paired_differences` of compressed results to their dense model, if that is among the results."""
    known = {result.variant.key: result for result in results}
    compressed = [result for result in results if result.variant.dense_key != result.variant.key]
    pairs = [(known[result.variant.dense_key], result) for result in compressed if result.variant.dense_key in known]
    return paired_differences(pairs, samples, seeds=seeds)


def over_seeds(groups: Sequence[Sequence[Result]], samples: Samples) -> Samples:
    """Return a function like `samples` that averages groups of results, each for its first one.

    The results of a group differ only in their seed. The mean of the window losses gives the geometric mean of the
    perplexities. Mean answers are no longer right or wrong, so accuracies cannot be paired.
    """
    known = {group[0].variant.key: group for group in groups}

    def read(key: str, measurement: Measurement) -> DataFrame | None:
        twins = [(result.variant.key, result.measurement(measurement)) for result in known.get(key, ())]
        frames = [samples(of, twin) for of, twin in twins if twin] if len(twins) > 1 else [samples(key, measurement)]
        stored = [frame for frame in frames if frame is not None]
        if len(stored) < max(1, len(twins)):
            return None
        outcomes = [frame[measurement.metric] for frame in stored]
        if any(len(one) != len(outcomes[0]) for one in outcomes):
            return None
        return stored[0].assign(**{measurement.metric: sum(outcomes) / len(outcomes)})

    return read


def tidy_with_differences(results: Sequence[Result], samples: Samples, seeds: SeedsOf = unknown_seeds) -> pd.DataFrame:
    """Return `tidy` with `DIFFERENCE_COLUMNS`: the paired difference of each number to the dense model's.

    `unpaired_reason` is the reason for a missing difference. Distances to the dense model have no test. Unlike `tidy`,
    this reads the per-document answers.
    """
    frame, found = tidy(results), differences_to_dense(results, samples, seeds)
    distances = pd.DataFrame(_distances(results), columns=COLUMNS, dtype=object)
    found = pd.concat([found.astype(object), distances])[["key", *NUMBER, *DIFFERENCE_COLUMNS]].infer_objects()
    found = found.rename(columns=DIFFERENCE_COLUMNS)
    joined = frame.merge(found, how="left", on=["key", *NUMBER])
    dense = {result.variant.dense_key for result in results}
    other = set(PAIRED).difference(MEANS)  # which are distances to the dense model themselves
    alone = joined["metric"].isin(other) & ~joined["key"].isin(dense) & joined["verdict"].isna()
    unexplained = alone & joined["unpaired_reason"].isna()
    reasons = joined["unpaired_reason"].astype(object)  # a column without any reason has the dtype float
    no_dense = "cannot be paired: no dense result under this protocol"
    return joined.assign(unpaired_reason=reasons.mask(unexplained, no_dense))


def _distances(results: Sequence[Result]) -> list[dict[str, Scalar]]:
    """Return the distances to the dense model as differences to it."""
    rows = []
    for result in results:
        for measurement in (row for row in result.measurements if row.metric in DISTANCES):
            ends = (measurement.value, *distance_interval(measurement))
            change = [None if end is None else end - metric(measurement.metric).of_dense for end in ends]
            names = ("key", *NUMBER, "difference", "low", "high", NOTE)
            note = measurement.details.get(INTERVAL)
            rows.append(dict(zip(names, (result.variant.key, *number_of(measurement), *change, note), strict=True)))
    return rows


def paired_differences(
    pairs: Sequence[tuple[Result, Result]],
    samples: Samples,
    dense: Iterable[Result] = (),
    seeds: SeedsOf = unknown_seeds,
) -> pd.DataFrame:
    """Compute the paired differences of each pair (reference, result).

    If seeds of the methods are stored, the intervals of numbers of windows contain the variance between them (random
    effects). Those of accuracies never do.

    `dense` are the dense models of the results, besides those in `pairs`. They decide which tasks count.

    Returns:
        `COLUMNS`, a row per pair and number that both have, including means of seven and means above chance. Pairs of
        different models have the latter over the tasks that count for both; without the dense models there is none.
        `key` and `reference_key` are the keys of result and reference, `value` and `reference` their numbers.
        `FIGURES` are those of `core.findings.numbers.paired.Difference`, result minus reference.
        `p_adjusted` is `p` after Holm over the `comparisons` of the same number.
        `verdict` is one of `core.findings.numbers.verdicts.Verdict`.
        `unpaired_reason` is the reason if the outcomes cannot be paired; figures and verdict are then missing.
        `NOTE` is the reason of a widened interval, and `SEEDS` says what the difference means beyond these models.
        `chance` and `majority` are the baselines of a task's documents.
        `one_answer` is the share of the documents to which the result gives its most frequent answer, on tasks with
        fixed labels.
    """
    references = _References((*chain.from_iterable(pairs), *dense), samples)
    rows = [row for pair in pairs for row in _of_one(pair, references, samples, seeds)]
    return adjust_together(pd.DataFrame(rows, columns=COLUMNS))


class _References:
    """What is read once of a reference, since many results are compared with it."""

    def __init__(self, results: Iterable[Result], samples: Samples):
        self._results = {one.variant.key: one for one in results}
        self._samples = samples
        self.outcomes = cache(self._outcomes)
        self.numbers = cache(self._numbers)
        self.accuracies = cache(self._accuracies)
        self.counted = cache(self._counted)

    def _outcomes(self, key: str, metric: str, dataset: str, protocol: str) -> tuple[DataFrame | None, Baselines]:
        """Return the samples behind a number, by its identity, and the baselines of their documents."""
        found = self._samples(key, self.numbers(key)[metric, dataset, protocol])
        return found, UNKNOWN if found is None else baselines(found)

    def _numbers(self, key: str) -> dict[tuple[str, str, str], Measurement]:
        return {row.identity: row for row in reversed(self._results[key].measurements)}

    def _accuracies(self, key: str) -> dict[tuple[Scalar, ...], dict[str, Measurement]]:
        return by_protocol(self._results[key].measurements)

    def _counted(self, keys: frozenset[str], protocol: tuple[Scalar, ...]) -> tuple[str, ...]:
        """Return the tasks that count for all dense models with these keys; none if one is unknown."""
        if not keys <= self._results.keys():
            return ()
        groups = [self.accuracies(key).get(protocol, {}) for key in keys]
        return common([counted_tasks(accuracies_of(rows)) for rows in groups])


def adjust_together(rows: pd.DataFrame) -> pd.DataFrame:
    """Adjust p and the verdicts of `paired_differences` for the comparisons in these rows alone."""
    adjusted: list[float | None] = [None] * len(rows)
    verdicts: list[str | None] = [None] * len(rows)
    counts: list[int | None] = [None] * len(rows)
    paired = np.flatnonzero(rows["unpaired_reason"].isna())
    names = [*NUMBER, "n", "p", "difference", "low", "high", "ratio"]
    records = dict(zip(paired, rows[names].iloc[paired].to_dict("records"), strict=True))
    together: dict[tuple[str, ...], list[int]] = {}
    for place, row in records.items():
        together.setdefault(tuple(row[name] for name in NUMBER), []).append(place)
    for places in together.values():
        p_values = holm([_known(records[place]["p"]) for place in places])
        for place, p in zip(places, p_values, strict=True):
            row = records[place]
            low, high, ratio = (_known(row[name]) for name in ("low", "high", "ratio"))
            found = Difference(n=row["n"], difference=row["difference"], low=low, high=high, ratio=ratio)
            adjusted[place], verdicts[place] = p, verdict(found, p, metric(row["metric"]).lower)
            counts[place] = sum(one is not None for one in p_values)
    return rows.assign(
        p_adjusted=pd.Series(adjusted, rows.index, float),
        comparisons=pd.Series(counts, rows.index, float),
        verdict=pd.Series(verdicts, rows.index, object),
    )


def _known(value: float | None) -> float | None:
    return None if pd.isna(value) else value


def number_of(measurement: Measurement) -> tuple[str, str, str]:
    """Return the values of `NUMBER` of a measurement, as in the rows of `core.findings.numbers.frame.tidy`."""
    return measurement.dataset, measurement.metric, measurement.protocol_id


def number_of_mean(protocol: tuple[Scalar, ...], mean: str = ABOVE_CHANCE) -> tuple[str, str, str]:
    """Return the values of `NUMBER` of a mean under a protocol, a key of `core.findings.numbers.seven.by_protocol`."""
    return mean, "acc", sha256(repr(protocol))[:8]


def _of_one(
    pair: tuple[Result, Result], references: _References, samples: Samples, seeds: SeedsOf
) -> list[dict[str, Scalar]]:
    reference, result = pair
    found: dict[tuple[str, str, str], Difference | str] = {}
    guesses: dict[tuple[str, str, str], Baselines] = {}
    rows = []
    twins = references.numbers(reference.variant.key)
    for measurement in result.measurements:
        if measurement.metric in PAIRED and (twin := twins.get(identity := measurement.identity)):
            first, guess = references.outcomes(reference.variant.key, *identity)
            second = samples(result.variant.key, measurement)
            parts: list[SeedVariance] = []
            if measurement.on_windows and not same_model(result.variant.model_id, reference.variant.model_id):
                known: Difference | str = OTHER_WORDS
            elif first is None or second is None:
                known = "cannot be paired: per-document answers were not stored"
            else:
                parts = [part for part in (seeds(reference, twin), seeds(result, measurement)) if part]
                known = _paired(measurement, first, second, parts if len(parts) == len(pair) else [])
            found[identity], guesses[identity] = known, guess
            row = _row(pair, measurement, (twin.value, measurement.value), known, guess)
            if SEEDS in row and len(parts) == len(pair):
                row[SEEDS] = CONTAINED
            if (card := TASKS.get(measurement.dataset)) and card.fixed_labels and second is not None:
                row["one_answer"] = one_answer(second)
            rows.append(row | dict(zip(NUMBER, number_of(measurement), strict=True)))
    mine, theirs = by_protocol(result.measurements), references.accuracies(reference.variant.key)
    dense = frozenset(one.variant.dense_key for one in pair)
    for protocol in (one for one in mine if one in theirs):
        for name, tasks in ((MEAN, SEVEN), (ABOVE_CHANCE, references.counted(dense, protocol))):
            if not tasks or not mine[protocol].keys() & theirs[protocol].keys() >= set(tasks):
                continue
            of_reference_and_result = [[group[protocol][task] for task in tasks] for group in (theirs, mine)]
            rows.append(_of_mean(name, pair, of_reference_and_result, found, guesses))
            rows[-1] |= dict(zip(NUMBER, number_of_mean(protocol, name), strict=True))
    return rows


def _of_mean(
    name: str,
    pair: tuple[Result, Result],
    measurements: Sequence[Sequence[Measurement]],
    found: Mapping[tuple[str, str, str], Difference | str],
    guesses: Mapping[tuple[str, str, str], Baselines],
) -> dict[str, Scalar]:
    """Return the row of a mean, MEAN or ABOVE_CHANCE, without its `NUMBER`.

    `measurements` are the accuracies of the reference and of the result, `found` and `guesses` those of `_of_one`.
    """
    _, mine = measurements
    pairs = [found.get(row.identity, "cannot be paired: the tasks' documents differ") for row in mine]
    why = [one for one in pairs if isinstance(one, str)]
    known = why[0] if why else mean_difference([one for one in pairs if isinstance(one, Difference)])
    guess = _mean_of([guesses.get(row.identity, UNKNOWN) for row in mine])
    of_mean, base = (mean, 0.0) if name == MEAN else (mean_above_chance, chance_of([row.dataset for row in mine]))
    before, after = (of_mean(rows)[0] for rows in measurements)
    guess = Baselines(*(None if value is None else value - base for value in guess))
    shared = {name: value for name, value in mine[0].protocol.items() if name != "version"}  # differs between tasks
    return _row(pair, mine[0].model_copy(update={"protocol": shared}), (before, after), known, guess)


def _paired(
    measurement: Measurement, first: DataFrame, second: DataFrame, seeds: Sequence[SeedVariance]
) -> Difference | str:
    """Return the difference, or the reason why there is none; its interval contains the variances of `seeds`."""
    dataset, protocol = measurement.dataset, measurement.protocol
    error = error_of(dataset, protocol, DIFFERENCES[measurement.metric]) if measurement.on_windows else independent
    error = _with_seeds(error, seeds)
    try:
        return difference(measurement.metric, first, second, error)
    except UserError as error:
        return f"cannot be paired: {error}"


def _with_seeds(error: ErrorOf, seeds: Sequence[SeedVariance]) -> ErrorOf:
    """Return a standard error with the variances between seeds."""

    def both(values: np.ndarray) -> StandardError:
        found = error(values)
        if found.value is None or not any(part.variance for part in seeds):
            return found
        total, freedom = summed([(found.value**2, found.freedom), *seeds])
        return StandardError(sqrt(total), freedom)

    return both


def _mean_of(guesses: Sequence[Baselines]) -> Baselines:
    """Return the mean baselines over tasks; None if that of a task is unknown."""
    means = []
    for values in zip(*guesses, strict=True):
        known = [value for value in values if value is not None]
        means.append(sum(known) / len(known) if len(known) == len(values) else None)
    return Baselines(*means)


def _row(
    pair: tuple[Result, Result],
    measurement: Measurement,
    values: tuple[float, float],
    found: Difference | str,
    guess: Baselines,
) -> dict[str, Scalar]:
    reference, result = pair
    row: dict[str, Scalar] = {"key": result.variant.key, "reference_key": reference.variant.key, **guess._asdict()}
    row |= {"metric": measurement.metric, "protocol": protocol_sentence(measurement)}
    row |= {"reference": values[0], "value": values[1]}
    if isinstance(found, str):
        return row | {"unpaired_reason": found}
    if reference.variant.seeded or result.variant.seeded:
        row[SEEDS] = TWO_MODELS
    if measurement.on_windows:
        of = DIFFERENCES[measurement.metric]
        row[NOTE] = interval_note(measurement.dataset, measurement.protocol, of, found.n).get(INTERVAL)
    return row | found.model_dump()
