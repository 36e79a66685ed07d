"""Remaining time: it only falls, reports a delay, and follows the progress of a run."""

import re
from types import SimpleNamespace

import pytest

from core.cli.printing import console
from core.engine.runs import run
from core.jobs.countdown import Countdown, job_left, left_words
from core.request.complete import complete
from core.request.settings import RunSettings
from core.specs import Perplexity, TextWindows
from core.store.store import Store
from tests.core.request.estimates import estimate


def seconds_left(countdown, now):
    """Return the displayed seconds, or None if a delay or nothing is displayed."""
    words = countdown.format(now)
    if words in ("", "longer than expected"):
        return None
    number, unit = re.fullmatch(r"about (\d+) (s|min) left", words).groups()
    return int(number) * (60 if unit == "min" else 1)


def test_a_frozen_stage_counts_down_and_then_reports_a_delay():
    countdown, seen = Countdown(), []
    countdown.update("compress", 0, 10, 100.0)
    countdown.update("compress", 2, 10, 110.0)
    for now in range(110, 200):
        countdown.update("compress", 2, 10, now)
        seen.append(countdown.format(now))
    assert seen[0] == "about 40 s left" and seen[39] == "about 1 s left"
    assert set(seen[40:]) == {"longer than expected"}


@pytest.mark.parametrize("seconds", [[1.0] * 20, [1, 1, 1, 9, 9, 9, 30, 1, 1, 1], [9, 1, 5, 1, 2, 8, 1], [30, 30]])
@pytest.mark.parametrize("expected", [{}, {"perplexity": 10.0}, {"perplexity": 300.0}])
def test_remaining_time_never_rises(seconds, expected):
    countdown, now, numbers = Countdown(expected), 0.0, []
    for done, unit in enumerate(seconds):
        for _ in range(int(4 * unit)):
            countdown.update("perplexity", done, len(seconds), now)
            numbers.append(seconds_left(countdown, now))
            now += 0.25
    countdown.update("perplexity", len(seconds), len(seconds), now)
    shown = [number for number in numbers if number is not None]
    assert shown == sorted(shown, reverse=True)
    assert shown or expected == {}
    assert countdown.format(now) == ""  # all is done


def test_a_steady_stage_is_predicted_exactly():
    countdown = Countdown({"perplexity": 500.0})
    countdown.update("perplexity", 0, 100, 0.0)
    assert countdown.format(0.0) == "about 8 min left"  # as estimated
    countdown.update("perplexity", 4, 100, 4.0)
    assert countdown.format(4.0) == "about 8 min left"
    countdown.update("perplexity", 5, 100, 5.0)
    assert countdown.format(5.0) == "about 2 min left"
    countdown.update("perplexity", 90, 100, 90.0)
    assert seconds_left(countdown, 93.0) == 7


def test_a_slower_stage_hides_its_time_until_it_is_valid_again():
    countdown = Countdown({"tasks": 20.0})
    countdown.update("tasks", 0, 10, 0.0)
    assert seconds_left(countdown, 8.0) == 12
    countdown.update("tasks", 1, 10, 10.0)  # so it takes 90 s more
    assert countdown.format(10.0) == countdown.format(60.0) == "longer than expected"
    assert seconds_left(countdown, 90.0) == 10


@pytest.mark.parametrize(
    ("expected", "updates", "left"),
    [
        ({}, [(16, 16, 100.0), (0, 16, 100.0), (4, 16, 104.0)], "about 12 s left"),  # each text is a stage
        ({}, [(500, 1000, 160.0, 100.0)], "about 60 s left"),  # a late first update, from the start of the stage
        ({"perplexity": 20.0}, [(0, 2, 120.0, 100.0)], "longer than expected"),
        ({"perplexity": 20.0}, [(0, 2, 120.0, 100.0), (0, 2, 123.0, 122.0)], "about 22 s left"),  # started again
    ],
)
def test_a_stage_counts_from_its_start(expected, updates, left):
    countdown = Countdown(expected)
    for update in updates:
        countdown.update("perplexity", *update)
    assert countdown.format(updates[-1][2]) == left


def test_a_stage_predicts_the_next_one_of_its_kind():
    countdown = Countdown({"perplexity": 20.0})
    countdown.update("perplexity", 0, 2, 100.0)
    countdown.update("load", 0, 1, 150.0)
    countdown.update("perplexity", 0, 2, 160.0)
    assert seconds_left(countdown, 160.0) == 50


def test_command_line_bars_use_the_estimate(monkeypatch):
    times = iter([0.0, 3.0])
    monkeypatch.setattr(console, "time", SimpleNamespace(monotonic=lambda: next(times)))
    with console.bars() as bars:
        bars.expect({"load": 20.0})
        bars("load", 0, 1, "m")
        (task,) = bars.progress.tasks
        assert console.TimeLeft().render(task).plain == "about 17 s left"


@pytest.mark.model
@pytest.mark.matrix(method=lambda method: method == "llm-pruner")  # which computes gradients
@pytest.mark.parametrize("method", ["magnitude", "wanda", "slimllm", "llm-pruner", "slicegpt", "svd-llm", "shortgpt"])
def test_every_stage_reports_its_start_and_is_estimated(machine, method):
    measures = {"perplexity", "latency"} if method == "magnitude" else {"perplexity"}  # the latency takes seconds
    asked = complete(
        "./tiny",
        f"{method}@0.5",
        RunSettings(
            calibration=TextWindows.parse("text.txt:2x32"),
            perplexity=[Perplexity.parse("text.txt@32:4")],
            latency="latency" in measures,
        ),
    )
    first = {}
    run(asked, Store(), lambda stage, done, total, detail="": first.setdefault(stage, (done, total)))
    assert {done for done, _ in first.values()} == {0}
    assert {"load", "keep"} | measures < set(first)
    stages = estimate(asked.model_copy(update={"force": True})).stages
    assert set(first) - {"keep", "compress"} <= set(stages)
    assert {"observe", "gradients", "compress"} & set(first) & set(stages)


def test_time_of_a_running_job_is_never_less_than_that_of_its_stage():
    def left(*numbers):
        return left_words(job_left(*numbers))

    assert left(60.0, 20.0, None) == left(60.0, 20.0, 5.0) == "about 40 s left"
    assert left(60.0, 20.0, 300.0) == "about 5 min left"
    assert left(60.0, 60.0, 0.0) == left(60.0, 500.0, 0.0) == "longer than expected"
    assert left_words(None) == ""
