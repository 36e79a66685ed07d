"""Whole searches of a made-up model: trials, budget and resumption; one search computes."""

import math

import numpy as np
import pytest

from core.base.errors import UserError
from core.base.progress import silent
from core.engine.runs import run_alone
from core.jobs.points import results_of
from core.notation.chain import format_chain
from core.request.expected.estimate import estimate
from core.request.expected.speeds import history_of
from core.search import sampler
from core.search.certificate import certify
from core.search.question import opening, prepare
from core.search.space import Candidate
from core.search.trials import Racer, Tried
from core.shipping.formats import file_sizes
from core.store.store import Store
from tests.core.search import texts
from tests.core.search.texts import pilot_of, played, played_run, question

pytestmark = pytest.mark.usefixtures("tiny_texts")


def searched(asked, at_once=1, compute=played):
    _, prepared, pilot = pilot_of(asked)
    return prepared, pilot, list(pilot.search(compute, at_once))


def test_a_search_measures_variants_and_ends_with_its_time_within_the_budget(results_dir):
    def counted(specs):
        return results_of(specs, Store(), silent, run_alone)  # as a sweep does

    prepared, pilot, steps = searched(question(minutes=4, methods=("magnitude", "rtn")), compute=counted)
    assert [step.count for step in steps] == [1, 2, 3, 4]  # each takes a minute of the clock
    assert steps[-1].seconds_left == 0 < pilot.judgement_seconds == steps[-1].judgement_seconds
    assert [step.seconds_left <= 60 * (4 - step.count) for step in steps] == [True] * 4
    assert len({step.trial.chain for step in steps}) == 4
    places = map(Candidate._make, np.ndindex(prepared.space.sizes.shape))
    sizes = {prepared.space.chain(place): float(prepared.space.sizes[place]) for place in places if place != (0, 0)}
    for step in steps:
        one = step.trial.outcome
        assert one.bytes <= prepared.question.most_bytes
        assert one.windows in (2, 4, 16) and one.eliminated == (one.windows < 16)
        assert one.bytes == pytest.approx(sizes[step.trial.chain], rel=0.02)
        result = Store().get(one.key)
        numbers = {row.protocol["windows"]: row.value for row in result.measurements}
        dense = {row.protocol["windows"]: row.value for row in Store().get(result.variant.dense_key).measurements}
        last = one.windows
        rungs = {16} if step.count == 1 else {2, 4, 16}  # the first has nothing to lose against
        assert set(numbers) == {one for one in rungs if one <= last}
        assert one.loss == pytest.approx(math.log(numbers[last] / dense[last]), abs=1e-5)
        assert result.footprint.packed_bytes == one.bytes
    best = min((step.trial.outcome for step in steps if not step.trial.outcome.eliminated), key=lambda one: one.loss)
    assert steps[-1].best == best
    assert [file.name for file in results_dir.glob("*.db")] == ["local.db"]


def test_the_time_to_the_certificate_is_estimated_after_each_trial():
    store, prepared, pilot = pilot_of(question())
    judgement = prepared.judgement("dense")

    def seconds(run=judgement):
        return estimate(run, history_of(store).speeds(run.variant.model_id)).seconds

    assert pilot.judgement_seconds == pytest.approx(3 * seconds())  # the winner, the runner-up and the dense model
    played_run(judgement, store)
    best = next(pilot.search(played)).best.chain
    assert pilot.judgement_seconds == pytest.approx(seconds(prepared.judgement(best)) + seconds())
    played_run(prepared.judgement(best), store)
    assert pilot_of(question())[2].judgement_seconds == pytest.approx(seconds())  # of the runner-up


def test_a_search_ends_before_its_time_if_no_other_chain_may_be_better(monkeypatch):
    monkeypatch.setattr(sampler, "LEAST_GAIN", 100.0)
    store, prepared, pilot = pilot_of(question(minutes=60))
    (step,) = pilot.search(played)
    assert pilot.exhausted and pilot.seconds_left > 0
    assert step.seconds_left == 0
    found = certify(prepared, pilot.ranked(), pilot.outcomes, None, played, store, pilot.exhausted)
    assert found.exhausted and "No other chain" in found.note()


def test_a_stopped_search_goes_on():
    asked = question(minutes=3)
    _, ended, first = searched(asked)
    assert [step.count for step in first] == [1, 2, 3] and not ended.exhausted
    assert searched(asked)[2] == []  # its time is over
    _, _, more = searched(asked.model_copy(update={"minutes": 5}))
    assert [step.count for step in more] == [4, 5]
    assert not {step.trial.chain for step in first} & {step.trial.chain for step in more}
    assert more[-1].best.loss <= min(step.trial.outcome.loss for step in first if not step.trial.outcome.eliminated)


def test_a_killed_trial_is_not_in_the_way(monkeypatch):
    asked = question(minutes=3)

    def killed(self, chains):
        raise SystemExit(9)

    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        patch.setattr(Racer, "race", killed)
        searched(asked)
    pilot = pilot_of(asked)[2]
    (trial,) = pilot.record.trials
    assert not (trial.running or trial.outcome or trial.problem)
    steps = list(pilot.search(played))
    assert len(steps) == 2 and steps[0].trial.chain == trial.chain


def test_several_trials_run_at_once():
    batches = []

    def counted(specs):
        batches.append(len(specs))
        yield from played(specs)

    _, _, steps = searched(question(minutes=2), at_once=3, compute=counted)
    assert batches[0] == 3 and len(steps) == 6


def test_a_chain_that_fails_is_named_and_the_search_goes_on():
    def failing(specs):
        for spec, result_of in played(specs):
            yield spec, fail if "rtn@6bit" in format_chain(spec.variant.stages) else result_of

    def fail():
        raise UserError("It failed.")

    _, _, steps = searched(question(minutes=4), compute=failing)
    assert {step.trial.problem for step in steps} == {"", "It failed."}
    assert all((step.trial.outcome is None) == ("rtn@6bit" in step.trial.chain) for step in steps)
    assert steps[-1].best is not None


def test_a_dense_model_without_a_finite_perplexity_ends_the_search(monkeypatch):
    real, tried = texts._losses, []

    def losses(variant, text):
        tried.append(variant.key)
        return real(variant, text) * (math.nan if variant.is_dense else 1)

    monkeypatch.setattr(texts, "_losses", losses)
    with pytest.raises(
        UserError, match=r"^The dense model wide has no finite perplexity on text\.txt@.*:16:spread; give"
    ):
        searched(question(minutes=60))
    assert len(set(tried)) == 2  # the dense model and one chain


def test_a_chain_larger_than_predicted_never_leads():
    prepared = prepare(question(), Store())
    tight = prepared._replace(question=prepared.question.model_copy(update={"max_mb": 1e-6}))
    racer = Racer(tight, played, Store())
    (one,) = racer.race(["rtn@4bit"]).values()
    assert isinstance(one, Tried) and one.eliminated and racer.leader is None


def test_a_race_ends_on_the_rung_that_a_chain_loses():
    store, asked = Store(), []

    def counted(specs):
        asked.append([(format_chain(spec.variant.stages), spec.perplexity[0].windows) for spec in specs])
        yield from played(specs)

    racer = Racer(prepare(question(10), store), counted, store)
    (best,) = racer.race(["rtn@6bit"]).values()
    found = racer.race(["rtn@2bit", "rtn@8bit", "rtn@none"])
    assert racer.leader == found["rtn@8bit"] != best
    assert isinstance(found["rtn@none"], UserError) and found["rtn@2bit"].eliminated
    assert asked == [[("rtn@6bit", 16)], [("rtn@2bit", 2), ("rtn@8bit", 2)], [("rtn@8bit", 4)], [("rtn@8bit", 16)]]
    assert best.variance == pytest.approx(np.var(racer._losses[best.key, 16], ddof=1) / 16)


def test_a_budget_below_all_chains_is_refused_with_the_smallest():
    with pytest.raises(UserError, match=r"No chain brings the model below 0\.001 MB\. The smallest takes 0\.\d+ MB: "):
        prepare(question(0.001), Store())


def test_a_run_whose_window_losses_are_missing_is_named(monkeypatch):
    store = Store()
    monkeypatch.setattr(Store, "samples", lambda *_: None)
    (error,) = Racer(prepare(question(), store), played, store).race(["rtn@4bit"]).values()
    assert isinstance(error, UserError) and "are missing; run it again" in str(error)


def test_with_a_format_the_budget_is_that_of_the_file():
    prepared, _, steps = searched(question(0.1, minutes=3, only="gguf"))
    assert " below 0.1 MB as GGUF." in opening(prepared)
    assert len(steps) > 1
    for step in steps:
        result = Store().get(step.trial.outcome.key)
        (file,) = (one.bytes for one in file_sizes(result.variant, result.counted) if one.format == "GGUF")
        assert step.trial.outcome.bytes == round(file) <= 1e5
        assert file != result.counted.packed_bytes
