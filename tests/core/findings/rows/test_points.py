"""Points computed from all rows at once equal those of a plain loop; accuracies, latencies and missing points."""

import math

import pandas as pd
import pytest

from core.amount import Amount
from core.data.cards import SEVEN
from core.findings.numbers.frame import tidy
from core.findings.numbers.seven import by_protocol, mean, mean_above_chance
from core.findings.rows import missing, points, stages, zeroshot
from core.imports.series import parse_series
from core.notation.formatting import format_amount
from core.results import Measurement, Result
from core.specs import IMPORTED, ModelId
from tests.synthetic import accuracies, chained, curve, result


def unusual_rows() -> pd.DataFrame:
    """Rows of several seeds, limits and patterns, some without errors, some that diverged, one of another version, and
    some that were imported."""
    results = [*curve(), chained("wanda@0.5+lora", 30.0), chained("magnitude@2:4+adaprune", 31.0)]
    results += [result("wanda", value, 0.5, seed=seed) for seed, value in ((3, 41.0), (1, math.inf), (2, 43.0))]
    results += [result("ria", value, 0.5, seed=seed) for seed, value in ((1, math.nan), (0, 50.0))]
    changed = []
    for place, one in enumerate(results):
        numbers = list(one.measurements)
        if place % 3 == 0 and len(numbers) > 1:  # a second limit, once without an error
            more = [row.model_copy(update={"n": 200, "protocol": row.protocol | {"limit": 200}}) for row in numbers[1:]]
            numbers += [more[0], more[1].model_copy(update={"stderr": None}), *more[2:]] if place % 2 else more
        if place % 4 == 1:
            numbers = [row for row in numbers if row.dataset != "piqa"]
        numbers += [row.model_copy(update={"metric": "acc", "value": 0.1}) for row in accuracies(0.1)[2:3]]
        changed.append(one.model_copy(update={"measurements": tuple(numbers)}))
    newer = results[5].variant.model_copy(update={"key": "c" * 64, "stages": (results[5].variant.stages[0],)})
    stage = newer.stages[0].model_copy(update={"method": "newer"})
    changed.append(results[5].model_copy(update={"variant": newer.model_copy(update={"stages": (stage,)})}))
    return tidy([*changed, *imported(changed[5])])


def imported(like: Result) -> list[Result]:
    """Return imports with the numbers of `like`: half removed, by a pattern, nothing removed, and without an amount."""
    numbers = tuple(row.model_copy(update={"origin": "external"}) for row in like.measurements)
    amounts = [("a", "0.5", None), ("a", None, "2:4"), ("b", "0", None), ("c", None, None)]
    series = [parse_series(like.variant.model, *one, "sparsity") for one in amounts]
    every = [one.variant(lambda model: ModelId(model, "r"), {}) for one in series]
    return [Result(variant=variant, footprint=None, measurements=numbers) for variant in every]


def where(row: pd.Series) -> str:
    """Return the amount label of a row's variant."""
    unknown = row["method"] == IMPORTED and pd.isna(row["ratio"]) and pd.isna(row["pattern"])
    return points.UNKNOWN_AMOUNT if unknown else format_amount(Amount.from_columns(row["ratio"], row["pattern"]))


@pytest.fixture(scope="module")
def rows():
    return unusual_rows()


def same(found: pd.DataFrame, expected: list[dict]) -> None:
    names = list(expected[0])
    pd.testing.assert_frame_equal(
        found[names].astype(object).reset_index(drop=True),
        pd.DataFrame(expected, columns=names, dtype=object),
        check_dtype=False,
    )


def plain_points(rows: pd.DataFrame) -> list[dict]:
    found = []
    for (label, *_), part in rows.groupby(["series_label", "ratio", "pattern"], dropna=False, sort=False):
        part = part.sort_values("seed", kind="stable")
        values, first = [math.inf if math.isnan(value) else value for value in part["value"]], part.iloc[0]
        value, stderr = sum(values) / len(values), 0.0 if pd.isna(first["stderr"]) else first["stderr"]
        low, high = (value - stderr, value + stderr) if len(values) == 1 else (min(values), max(values))
        point = {"series_label": label, "key": first["key"], "amount_label": where(first), "seeds": len(values)}
        found.append(point | {"value": value, "low": low, "high": high, "packed_mb": part["packed_mb"].mean()})
    return found


def test_points_match_a_plain_loop_over_groups(rows):
    perplexities = rows[rows["metric"] == "perplexity"]
    same(points.collapse(perplexities), plain_points(perplexities))
    assert [keys[0] for keys in points.by_seed(perplexities)] == list(points.collapse(perplexities)["key"])
    assert sorted(key for keys in points.by_seed(perplexities) for key in keys) == sorted(perplexities["key"])
    assert points.collapse(rows[:0]).empty and points.by_seed(rows[:0]) == []


def test_accuracies_match_a_plain_loop_over_tasks(rows):
    scored = zeroshot.headline(rows)
    scored = scored[scored["limit"] == 100]
    expected = []
    for (task, _, metric), part in scored.groupby(["task", "chance", "metric"], sort=False):
        expected += [{"task": task, "metric": metric} | point for point in plain_points(part)]
    same(zeroshot.accuracies(scored), expected)


@pytest.mark.parametrize("chosen", ["50 %", "30 %", "2:4", "nothing removed", "1 %", points.UNKNOWN_AMOUNT])
def test_rows_at_an_amount_match_its_label(rows, chosen):
    dense = points.is_dense(rows)
    removed = rows.apply(where, axis=1)
    anywhere = (rows["method"] == IMPORTED) & ~removed.isin(["50 %", "2:4"])
    assert set(rows.loc[anywhere, "series_label"]) == {"b (imported)", "c (imported)"}
    assert points.at_amount(rows, chosen).equals(rows[dense | anywhere | (removed == chosen)])


def test_means_match_a_plain_loop_over_variants(rows):
    scored, counted = zeroshot.headline(rows), ("piqa", "hellaswag", "arc_easy")
    expected = []
    for (key, label), part in scored.groupby(["key", "series_label"], sort=False):
        numbers = [
            Measurement(
                metric=row["metric"],
                dataset=row["dataset"],
                value=row["value"],
                stderr=None if pd.isna(row["stderr"]) else row["stderr"],
                n=int(row["n"]),
                protocol={"limit": row["limit"], "fewshot": row["fewshot"]},
            )
            for row in part.to_dict("records")
        ]
        whole = [group for group in by_protocol(numbers).values() if group.keys() >= {*counted}]
        if whole:
            group = max(whole, key=lambda group: sum(group[name].n for name in counted))
            value, stderr = mean_above_chance([group[name] for name in counted])
            seven = mean([group[name] for name in SEVEN])[0] if len(group) == len(SEVEN) else math.nan
            point = {"key": key, "series_label": label, "amount_label": where(part.iloc[0]), "mean": value}
            expected.append(point | {"stderr": math.nan if stderr is None else stderr, "mean_of_seven": seven})
    assert 0 < len(expected) < scored["key"].nunique()
    assert any(math.isnan(one["stderr"]) for one in expected)
    same(zeroshot.means_above_chance(scored), expected)
    assert zeroshot.means_above_chance(scored[:0]).empty
    assert zeroshot.means_above_chance(scored[scored["dataset"] == "piqa"]).empty


def test_the_mean_needs_all_seven_tasks_and_an_axis_has_one_protocol(frame):
    rows = zeroshot.headline(frame)
    assert zeroshot.means_above_chance(rows[rows["dataset"] != "boolq"]).empty
    other = rows["key"] == rows[rows["method"] == "wanda"]["key"].iloc[0]
    mixed = rows.assign(protocol_id=rows["protocol_id"].mask(other, "another"))
    kept = zeroshot.one_protocol(mixed)
    assert set(kept["protocol_id"]) == set(rows["protocol_id"]) and len(kept) == len(rows) - other.sum()


def test_missing_points_are_those_of_the_grid_beyond_the_earlier_ratio(perplexities):
    frame = tidy([*curve(), chained("magnitude@0.2+adaprune+magnitude@0.5+adaprune", 80.0)])
    rows = frame[frame["metric"] == "perplexity"]
    (wanted,) = missing.of_chains(points.collapse(rows), ["2:4"]).values()
    first = "magnitude@0.2+adaprune+magnitude@"
    assert wanted == [f"{first}{amount}+adaprune" for amount in ("0.3", "0.4", "0.6", "0.7", "2:4")]
    found = perplexities[0]
    assert missing.of_methods(found, ["wanda"], ["2:4", "4:8"]) == {"Wanda": []}
    gap = found[~((found["method"] == "wanda") & (found["amount_label"].isin(["30 %", "2:4"])))]
    wanted = missing.of_methods(gap, ["wanda", "sparsegpt"], ["2:4", "4:8"])
    assert wanted == {"Wanda": ["wanda@0.3", "wanda@2:4"], "SparseGPT": []}


def timed(method, prefill, device="cpu (x86_64)", dtype="float32"):
    common = {"details": {"device": device}, "dataset": "synthetic", "metric": "prefill", "n": 7}
    rows = [Measurement(value=prefill * batch, protocol={"batch": batch, "dtype": dtype}, **common) for batch in (1, 4)]
    one = result(method, 30.0, None if method == "dense" else 0.5)
    return one.model_copy(update={"measurements": (*one.measurements, *rows)})


def test_speed_is_compared_with_dense_on_the_same_device():
    table = stages.speeds(timed("slimllm", 2.0), timed("dense", 3.0))
    assert list(table["Metric"]) == ["Prefill latency (ms per token)"] * 2
    assert list(table["Dense / measured"]) == [1.5, 1.5]
    assert stages.speeds(timed("slimllm", 2.0), timed("dense", 3.0, "cuda (H100)"))["Dense"].isna().all()
    packed = stages.speeds(timed("slimllm", 1.0, dtype="bfloat16 x int4"), timed("dense", 3.0))
    assert list(packed["Precision"]) == ["bfloat16 x int4, dense float32"] * 2 and list(packed["Dense"]) == [3.0, 12.0]
    assert set(table["Precision"]) == {"float32"}
    assert stages.speeds(timed("slimllm", 2.0), None)["Dense"].isna().all()
    assert stages.speeds(result("wanda", 30.0, 0.5), timed("dense", 3.0)).empty
