"""Whole searches on a tiny model: trials, budget, resumption and certificate."""

import math

import numpy as np
import pytest

from core.engine import runs
from core.engine.runs import run_alone
from core.errors import UserError
from core.jobs.points import results_of
from core.notation.chain import format_chain
from core.progress import silent
from core.request.expected.estimate import estimate
from core.request.expected.speeds import history_of
from core.search import sampler
from core.search import study as studies
from core.search.autopilot import Autopilot, Progressed
from core.search.certificate import (
    DENSE,
    RUNNER_UP,
    SEARCHED,
    STORED,
    WINNER,
    Certificate,
    Judged,
    Paired,
    best_stored,
    certify,
)
from core.search.question import Question, prepare
from core.search.space import Candidate, Restrictions
from core.search.trials import Racer, Tried
from core.store.samples import delete_samples
from core.store.store import Store
from tests.core.search.texts import JUDGE

pytestmark = pytest.mark.usefixtures("tiny_texts")
METHODS = ("magnitude", "rtn")


def compute(specs):
    for spec in specs:
        yield spec, lambda spec=spec: runs.run(spec, Store())


def question(max_mb=0.07, minutes=1.0, **more):
    return Question(model="./wide", max_mb=max_mb, minutes=minutes, restrictions=Restrictions(methods=METHODS, **more))


class Clock:
    """A clock on which each call takes a minute, longer than the estimate of a trial."""

    def __init__(self):
        self.time = 0.0

    def __call__(self):
        self.time += 60
        return self.time


def searched(asked, at_once=1, compute=compute):
    store = Store()
    prepared = prepare(asked, store)
    pilot = Autopilot(prepared, store, compute, at_once, Clock())
    return prepared, pilot, list(pilot.search())


@pytest.fixture
def dense_mb(tiny_texts):
    return prepare(question(10.0), Store()).space.sizes[0, 0] / 1e6


def test_a_search_ends_with_its_time_and_stays_within_the_budget(dense_mb):
    limit = 0.6 * dense_mb
    prepared, pilot, steps = searched(question(limit, minutes=6))
    assert len(steps) == 6  # each takes a minute of the clock
    assert [step.count for step in steps] == [1, 2, 3, 4, 5, 6]
    assert steps[-1].seconds_left == pilot.estimates.judgement > 0
    assert len({step.chain for step in steps}) == 6
    places = map(Candidate._make, np.ndindex(prepared.space.sizes.shape))
    sizes = {prepared.space.chain(place): float(prepared.space.sizes[place]) for place in places if place != (0, 0)}
    for step in steps:
        assert step.tried.packed_bytes <= 1e6 * limit
        assert step.tried.windows in (2, 4, 16) and step.tried.eliminated == (step.tried.windows < 16)
        assert step.tried.packed_bytes == pytest.approx(sizes[step.chain], rel=0.02)
    best = min((step.tried for step in steps if not step.tried.eliminated), key=lambda one: one.loss)
    assert steps[-1].best == best


def test_a_trial_is_an_ordinary_variant_with_its_paired_loss(dense_mb):
    _prepared, _pilot, (first, second) = searched(question(0.6 * dense_mb, minutes=2))
    for step, rungs in (first, {16}), (second, {2, 4, 16}):  # the first has nothing to lose against
        result = Store().get(step.tried.key)
        numbers = {row.protocol["windows"]: row.value for row in result.measurements}
        dense = {row.protocol["windows"]: row.value for row in Store().get(result.variant.dense_key).measurements}
        last = step.tried.windows
        assert set(numbers) == {one for one in rungs if one <= last}
        assert step.tried.loss == pytest.approx(math.log(numbers[last] / dense[last]), abs=1e-5)
        assert result.footprint.packed_bytes == step.tried.packed_bytes


def test_the_time_to_the_certificate_is_estimated_after_each_trial(dense_mb):
    store = Store()
    prepared = prepare(question(0.6 * dense_mb), store)
    pilot, judgement = Autopilot(prepared, store, compute, now=Clock()), prepared.judgement("dense")

    def seconds(run=judgement):
        return estimate(run, history_of(store).speeds(run.variant.model_id)).seconds

    assert pilot.estimates.judgement == pytest.approx(3 * seconds())  # the winner, the runner-up and the dense model
    runs.run(judgement, store)
    best = next(pilot.search()).best.chain
    assert pilot.estimates.judgement == pytest.approx(seconds(prepared.judgement(best)) + seconds())
    runs.run(prepared.judgement(best), store)
    resumed = Autopilot(prepared, store, compute, now=Clock())
    assert resumed.estimates.judgement == pytest.approx(seconds())  # of the runner-up


def test_a_search_ends_before_its_time_if_no_other_chain_may_be_better(dense_mb, monkeypatch):
    monkeypatch.setattr(sampler, "LEAST_GAIN", 100.0)
    store = Store()
    prepared = prepare(question(0.6 * dense_mb, minutes=60), store)
    pilot = Autopilot(prepared, store, compute, now=Clock())
    (step,) = (step for step in pilot.search() if isinstance(step, Progressed) and "shifts=" not in step.chain)
    assert pilot.exhausted and pilot.seconds_left > 0
    assert step.seconds_left == pilot.estimates.judgement  # nothing to refine, either
    found = certify(prepared, pilot.ranked(), pilot.outcomes, None, compute, store, pilot.exhausted)
    assert "No other chain within the budget is expected to be better." in found.note()


def test_a_search_whose_time_ends_is_not_exhausted(dense_mb):
    assert not searched(question(0.6 * dense_mb, minutes=2))[1].exhausted


def test_a_stopped_search_goes_on(dense_mb):
    asked = question(0.6 * dense_mb, minutes=3)
    _, _, first = searched(asked)
    assert [step.count for step in first] == [1, 2, 3]
    assert searched(asked)[2] == []  # its time is over
    _, pilot, more = searched(asked.model_copy(update={"minutes": 5}))
    assert [step.count for step in more] == [4, 5]
    assert not {step.chain for step in first} & {step.chain for step in more}
    assert pilot.racer.leader.loss <= min(step.tried.loss for step in first if not step.tried.eliminated)


def test_a_killed_trial_is_not_in_the_way(dense_mb, monkeypatch):
    asked = question(0.6 * dense_mb, minutes=3)

    def killed(self, chains):
        raise SystemExit(9)

    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        patch.setattr(Racer, "race", killed)
        searched(asked)
    store = Store()
    pilot = Autopilot(prepare(asked, store), store, compute, now=Clock())
    (trial,) = pilot.study.get_trials()
    assert trial.state.name == "FAIL"
    steps = list(pilot.search())
    assert len(steps) == 2 and steps[0].chain == trial.user_attrs["chain"]


def test_several_trials_run_at_once(dense_mb):
    batches = []

    def counted(specs):
        batches.append(len(specs))
        yield from compute(specs)

    _, _, steps = searched(question(0.6 * dense_mb, minutes=2), at_once=3, compute=counted)
    assert batches[0] == 3 and len(steps) == 6


def test_a_chain_that_fails_is_named_and_the_search_goes_on(dense_mb):
    def failing(specs):
        for spec, result_of in compute(specs):
            yield spec, fail if "rtn@8bit" in format_chain(spec.variant.stages) else result_of

    def fail():
        raise UserError("It failed.")

    _, pilot, steps = searched(question(0.6 * dense_mb, minutes=4), compute=failing)
    assert {step.problem for step in steps} == {"", "It failed."}
    assert all(step.tried is None or "rtn@8bit" not in step.chain for step in steps)
    assert pilot.racer.leader is not None


def test_a_budget_below_all_chains_is_refused_with_the_smallest():
    with pytest.raises(UserError, match=r"No chain brings the model below 0\.001 MB\. The smallest takes 0\.\d+ MB: "):
        prepare(question(0.001), Store())


def test_the_certificate_judges_on_a_text_that_the_search_has_not_read(dense_mb):
    limit = 0.6 * dense_mb
    store = Store()
    asked = question(limit, minutes=5)
    prepared = prepare(asked, store)
    earlier = runs.run(prepared.judgement("magnitude@0.7+rtn@2bit,on=embedding"), store)
    stored = best_stored(store, prepared)
    assert stored.variant.key == earlier.variant.key
    pilot = Autopilot(prepared, store, compute, now=Clock())
    list(pilot.search())
    found = certify(prepared, pilot.ranked(), pilot.outcomes, stored, compute, store)
    roles = {one.role: one for one in found.rows}
    assert set(roles) <= {WINNER, RUNNER_UP, SEARCHED, STORED, DENSE} and {WINNER, DENSE} <= set(roles)
    assert len({STORED, SEARCHED} & set(roles)) == 1
    assert roles[WINNER].perplexity <= min(one.perplexity for role, one in roles.items() if role in (STORED, SEARCHED))
    winner, dense = roles[WINNER], roles[DENSE]
    assert winner.packed_mb <= limit and winner.ratio is None
    assert winner.perplexity == pytest.approx(
        next(row.value for row in store.get(winner.key).measurements if row.protocol["window"] == JUDGE.window)
    )
    assert dense.ratio.value == pytest.approx(winner.perplexity / dense.perplexity)
    assert dense.ratio.low < dense.ratio.value < dense.ratio.high
    assert found.fits and found.tried == 5
    assert found.excluded == (prepared.space.sizes > 1e6 * limit).sum() - 1  # without the dense model


def test_a_better_stored_variant_wins_unless_the_user_excludes_it(dense_mb):
    store = Store()
    prepared = prepare(question(0.6 * dense_mb), store)
    worse = runs.run(prepared.judgement("magnitude@0.7+rtn@2bit,on=embedding"), store)
    better = runs.run(prepared.judgement("rtn@4bit+rtn@4bit,on=embedding"), store)
    values = [one.measurements[0].value for one in (worse, better)]
    low, high = (one for _, one in sorted(zip(values, (worse, better), strict=True), key=lambda pair: pair[0]))
    tried = Tried(format_chain(high.variant.stages), high.variant.key, 1, 0.1, 0.0, 16, False)
    found = certify(prepared, [tried], [tried], low, compute, store)
    assert [(one.role, one.key) for one in found.rows[:2]] == [(WINNER, low.variant.key), (SEARCHED, high.variant.key)]
    restrictions = Restrictions(methods=("magnitude",))
    only = prepare(question(0.6 * dense_mb).model_copy(update={"restrictions": restrictions}), store)
    assert best_stored(store, only) is None


def test_stored_numbers_without_samples_are_measured_again_from_the_cache(dense_mb):
    store = Store()
    prepared = prepare(question(0.6 * dense_mb), store)
    chains = "magnitude@0.5+rtn@2bit,on=embedding", "magnitude@0.6+rtn@2bit,on=embedding"
    before = [runs.run(prepared.judgement(chain), store) for chain in chains]
    for key in (before[0].variant.key, before[1].variant.key, before[0].variant.dense_key):
        delete_samples(key)
    tried = [Tried(chain, one.variant.key, 1, 0.1, 0.0, 16, False) for chain, one in zip(chains, before, strict=True)]
    found = certify(prepared, tried, tried, None, compute, store)
    assert [one.role for one in found.rows] == [WINNER, RUNNER_UP, DENSE]
    assert all(one.ratio.low <= one.ratio.value <= one.ratio.high for one in found.rows[1:])
    assert "may lack numbers" not in found.note()
    assert [store.get(one.variant.key).variant.stage_runs for one in before] == [
        one.variant.stage_runs for one in before
    ]


@pytest.mark.parametrize("documents", [100, 0])
@pytest.mark.parametrize("lacks", ["accuracy", "ratio", None])
def test_a_certificate_says_why_a_number_is_missing(documents, lacks):
    known = {"key": "k", "packed_mb": 1.0, "perplexity": 20.0, "accuracy": 0.4}
    pairs = dict.fromkeys(("ratio", "gain"), Paired(value=1.0, low=0.9, high=1.1))
    rows = Judged(role=WINNER, chain="rtn@4bit", **known), Judged(role=STORED, chain="dense", **known, **pairs)
    if lacks:
        rows = rows[0], rows[1].model_copy(update={lacks: None})
    counts = {"judge": "text", "tried": 1, "eliminated": 0, "excluded": 0, "chains": 2, "fits": True}
    note = Certificate(rows=rows, documents=documents, **counts).note()
    assert ("it may lack numbers" in note) == (lacks == "ratio" or (lacks == "accuracy" and documents > 0))


def test_a_stored_variant_that_the_program_does_not_load_is_no_answer(dense_mb):
    store, asked = Store(), Question(model="./wide", max_mb=0.95 * dense_mb, minutes=1.0)
    prepared = prepare(asked, store)
    stored = runs.run(prepared.judgement("svd@0.5"), store)
    assert best_stored(store, prepared).variant.key == stored.variant.key
    for_llama = asked.model_copy(update={"restrictions": Restrictions(only="gguf")})
    assert best_stored(store, prepare(for_llama, store)) is None


def test_without_a_measured_chain_the_best_stored_one_is_given(dense_mb):
    store = Store()
    prepared = prepare(question(0.6 * dense_mb), store)
    assert certify(prepared, [], [], None, compute, store).rows == ()
    runs.run(prepared.judgement("magnitude@0.7+rtn@2bit,on=embedding"), store)
    found = certify(prepared, [], [], best_stored(store, prepared), compute, store)
    assert not found.fits and [one.role for one in found.rows] == [WINNER, DENSE]


def test_a_chain_larger_than_predicted_never_leads(dense_mb):
    prepared = prepare(question(0.6 * dense_mb), Store())
    tight = prepared._replace(question=prepared.question.model_copy(update={"max_mb": 1e-6}))
    racer = Racer(tight, compute, Store())
    (one,) = racer.race(["rtn@4bit"]).values()
    assert isinstance(one, Tried) and one.eliminated and racer.leader is None


def test_optuna_and_the_store_have_separate_databases(dense_mb, results_dir):
    searched(question(0.6 * dense_mb, minutes=1))
    assert (results_dir / studies.FILE).is_file() and (results_dir / "local.db").is_file()
    Store()  # its migrations find their own version


def test_a_search_computes_as_a_sweep_does(dense_mb, monkeypatch):
    store = Store()
    _, _, steps = searched(
        question(0.6 * dense_mb, minutes=1),
        compute=lambda specs: results_of(specs, store, silent, run_alone),
    )
    assert steps[0].tried is not None
