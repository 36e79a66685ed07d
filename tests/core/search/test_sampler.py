"""What a search expects of chains after measurements, and which one it tries next."""

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import lognorm

from core.search.prior import MeasuredEffect, Prior
from core.search.sampler import (
    ABOVE_FLOOR,
    ChainSampler,
    Expectation,
    Observation,
    Residuals,
    expected_improvement,
)
from core.search.space import Candidate
from core.search.trials import REFUSED, Trial, Tried, observations
from tests.core.search.spaces import space

SPACE = space("gptq", "sparsegpt", "slimllm", "rtn")
RESIDUALS = Residuals(SPACE, Prior({}))
ALL = np.array([(blocks, tables) for blocks in range(len(SPACE.blocks)) for tables in range(len(SPACE.tables))])
MOST = 90e6


@pytest.fixture
def sampler():
    return ChainSampler(SPACE, RESIDUALS, MOST)


def test_the_first_choice_has_the_lowest_expected_loss_that_fits(sampler):
    first = sampler.choose([])
    expected = RESIDUALS.posterior(sampler.places)
    legal = [loss for place, loss in zip(sampler.places, expected.loss, strict=True) if SPACE.legal(Candidate(*place))]
    assert RESIDUALS.posterior(np.array([first])).loss[0] == min(legal)
    assert SPACE.sizes[first] <= MOST


def test_choices_fit_are_legal_and_never_repeat(sampler):
    seen = []
    for _ in range(25):
        place = sampler.choose(seen)
        assert SPACE.sizes[place] <= MOST and SPACE.legal(place) and place not in {one.place for one in seen}
        seen.append(Observation(place, float(RESIDUALS.posterior(np.array([place])).loss[0]), 0.0))


def test_a_bad_surprise_turns_the_search_to_other_parts_and_running_trials_to_other_chains(sampler):
    first = sampler.choose([])
    assert sampler.choose([Observation(first, 5.0, 0.0)]).blocks != first.blocks
    assert sampler.choose([], [first]) not in (first, None)


def test_a_faster_chain_is_preferred_among_equal_gains():
    slow = {}
    sampler = ChainSampler(SPACE, RESIDUALS, MOST, lambda place: slow.get(place, 1.0))
    seen = [Observation(sampler.choose([]), 3.0, 0.0)]
    second = sampler.choose(seen)
    slow[second] = 1e6
    assert sampler.choose(seen) != second


def test_a_chain_that_takes_longer_than_the_time_left_is_not_tried():
    first = ChainSampler(SPACE, RESIDUALS, MOST).choose([])
    seconds = lambda place: 100.0 if place == first else 1000.0  # noqa: E731
    timed = lambda left: ChainSampler(SPACE, RESIDUALS, MOST, seconds, lambda: left)  # noqa: E731
    assert timed(90.0).choose([]) is None and timed(90.0).least_seconds() == 100.0
    assert timed(150.0).choose([]) == timed(250.0).choose([]) == first  # none takes less than half of the time
    other = ChainSampler(SPACE, RESIDUALS, MOST).choose([], [first])
    quick = lambda place: 10.0 if place == other else seconds(place)  # noqa: E731
    assert ChainSampler(SPACE, RESIDUALS, MOST, quick, lambda: 150.0).choose([]) == other
    seen = [Observation(other, float(RESIDUALS.posterior(np.array([other])).loss[0]), 0.0)]
    assert ChainSampler(SPACE, RESIDUALS, MOST, seconds, lambda: 150.0).choose(seen) == first


def test_seconds_count_less_the_less_time_is_left():
    plain = ChainSampler(SPACE, RESIDUALS, MOST)
    seen = [Observation(plain.choose([]), 3.0, 0.0)]
    gain = expected_improvement(RESIDUALS.posterior(plain.places, seen), 3.0)
    best = set(map(tuple, plain.places[gain > 0.9 * gain.max()].tolist()))
    seconds = lambda place: 100.0 if place in best else 1.0  # noqa: E731
    chosen = [ChainSampler(SPACE, RESIDUALS, MOST, seconds, lambda: 1e3, whole).choose(seen) for whole in (1e3, 1e6)]
    assert [place in best for place in chosen] == [False, True]


def test_the_first_chain_is_the_quickest_that_may_be_the_best():
    best = ChainSampler(SPACE, RESIDUALS, MOST).choose([])
    expected = RESIDUALS.posterior(np.array([best]))
    most = expected.loss[0] + expected.spread[0]
    may_be_best = lambda place: RESIDUALS.posterior(np.array([place])).loss[0] <= most  # noqa: E731
    seconds = lambda place: 100.0 if place == best else 10.0 if may_be_best(place) else 1.0  # noqa: E731
    first = ChainSampler(SPACE, RESIDUALS, MOST, seconds).choose([])
    assert first != best and may_be_best(first)
    slow_all = ChainSampler(SPACE, RESIDUALS, MOST, lambda place: 10.0 if place == best else 100.0)
    assert slow_all.choose([]) == best


@pytest.mark.parametrize("best", [0.9, -0.2])
def test_expected_improvement_is_its_integral(best):
    found = Expectation(np.array([0.5, 1.0, 2.0, -0.5]), np.array([0.1, 0.5, 0.3, 0.2]))
    for loss, spread, value in zip(*found, expected_improvement(found, best), strict=True):
        floor = min(loss, best, 0.0) - ABOVE_FLOOR
        width = np.sqrt(np.log1p((spread / (loss - floor)) ** 2))
        effect = lognorm(width, floor, (loss - floor) * np.exp(-(width**2) / 2))
        assert (effect.mean(), effect.std()) == pytest.approx((loss, spread))
        integral, _ = quad(lambda x, effect=effect: (best - x) * effect.pdf(x), floor, best, points=[loss])
        assert value == pytest.approx(integral, abs=1e-6)


def test_a_quick_chain_that_ruins_the_model_is_not_tried(sampler):
    """Its effect may be half or twice of what is expected, but not a hundredth."""
    good, ruins = expected_improvement(Expectation(np.array([0.06, 5.0]), np.array([0.02, 5.0])), 0.05)
    assert good > 1000 * ruins


def outcome(chain, loss, variance=0.0):
    return Tried(chain, "k", 1, loss, variance, 16, False)


def test_trials_give_their_measurements_and_the_chains_that_run(sampler):
    place = sampler.choose([])
    first = Trial(chain=SPACE.chain(place), running=True)
    assert observations([first], SPACE) == ([], [place])
    first = Trial(chain=first.chain, outcome=outcome(first.chain, 0.75, 0.25))
    other = sampler.choose(*observations([first], SPACE))
    second = Trial(chain=SPACE.chain(other), running=True)
    assert observations([first, second], SPACE) == ([Observation(place, 0.75, 0.25)], [other])
    second = Trial(chain=second.chain)
    assert observations([first, second], SPACE)[1] == []  # what was cut off is tried once more
    trials = [first, second, second]
    assert observations(trials, SPACE)[1] == [other]
    refused = sampler.choose(*observations(trials, SPACE))
    trials.append(Trial(chain=SPACE.chain(refused), problem="It cannot be made."))
    assert observations(trials, SPACE)[0][-1] == Observation(refused, *REFUSED)
    trials.append(Trial(chain="magnitude@0.5", running=True))
    assert observations(trials, SPACE)[1] == [other]  # the last one is of another space
    place = sampler.choose(*observations(trials, SPACE))
    trials.append(Trial(chain=SPACE.chain(place), outcome=outcome(SPACE.chain(place), 15.0)))
    assert observations(trials, SPACE)[0][-1] == Observation(place, REFUSED[0], 0.0)
    no_number = Trial(chain=first.chain, outcome=outcome(first.chain, float("nan")))
    assert observations([no_number], SPACE) == ([], [])  # as if it was cut off
    infinite = Trial(chain=first.chain, outcome=outcome(first.chain, float("inf"), float("nan")))
    assert observations([infinite], SPACE)[0] == [Observation(SPACE.find(first.chain), *REFUSED)]


def test_a_chain_of_an_earlier_space_counts_once_it_is_in_the_space():
    chain = "gptq@4.25bit,shifts=0:1;1:-1"
    trials = [Trial(chain=chain, outcome=outcome(chain, 0.5, 0.25))]
    assert observations(trials, SPACE) == ([], [])
    later = space("gptq", stored=[chain])
    assert observations(trials, later) == ([Observation(later.find(chain), 0.5, 0.25)], [])


def test_a_small_space_ends(monkeypatch):
    monkeypatch.setattr("core.search.sampler.LEAST_GAIN", 0.0)
    few = space("rtn")
    sampler = ChainSampler(few, Residuals(few, Prior({})), few.sizes.max())
    seen = []
    for _ in range(sum(few.legal(Candidate(*place)) for place in np.argwhere(few.sizes > 0).tolist())):
        seen.append(Observation(sampler.choose(seen), 1.0, 0.0))
    assert sampler.choose(seen) is None


STORED = {"wanda@0.4": 0.4, "wanda@0.5": 0.8, "wanda@0.6": 2.0, "wanda@0.7": 4.0, "wanda@4:8": 1.5, "wanda@2:4": 2.4}


def pruning(stored):
    """A sampler of the chains of one method from 40 % on, of which some have stored effects."""
    few = space("wanda")
    effects = {chain: MeasuredEffect(few.stages(few.find(chain)), loss) for chain, loss in stored.items()}
    return ChainSampler(few, Residuals(few, Prior(effects)), few.sizes[few.find("wanda@0.4")], lambda place: 7.0)


def test_a_search_ends_once_no_other_chain_may_be_better():
    sampler = pruning(STORED)
    first = sampler.choose([])
    assert sampler.space.chain(first) == "wanda@0.4"
    as_expected = [Observation(first, 0.4, 1e-4)]
    assert sampler.choose(as_expected) is None and sampler.seconds_of_all(as_expected, [], 100.0) == 0
    surprise = [Observation(first, 1.9, 1e-4)]
    assert sampler.choose(surprise) is not None and sampler.seconds_of_all(surprise, [], 100.0) > 0


def test_one_good_prediction_does_not_end_a_search_without_stored_effects():
    sampler = pruning({})
    first = sampler.choose([])
    expected = float(RESIDUALS.posterior(np.array([first])).loss[0])
    seen = [Observation(first, expected, 0.0)]
    assert sampler.choose(seen) is not None
    assert [sampler.seconds_of_all(seen, [], most) for most in (20.0, 100.0)] == [20.0, 7.0 * (len(STORED) - 1)]


def at(blocks, tables=""):
    names = ([part.chain for part in side] for side in (SPACE.blocks, SPACE.tables))
    return Candidate(*(side.index(chain) for side, chain in zip(names, (blocks, tables), strict=True)))


def of(found, where):
    index = where.blocks * len(SPACE.tables) + where.tables
    return found.loss[index], found.spread[index]


def test_without_observations_the_prior_stands():
    found, prior = RESIDUALS.posterior(ALL, []), Prior({})
    where = at("gptq@4bit", "rtn@8bit,on=embedding")
    parts = [prior.of_chain(SPACE.blocks[where.blocks].stages), prior.of_chain(SPACE.tables[where.tables].stages)]
    assert of(found, where)[0] == pytest.approx(sum(part.loss for part in parts))
    assert of(found, where)[1] > max(part.spread for part in parts)


def test_an_exact_observation_is_reproduced_and_corrects_its_relatives():
    seen, child = at("gptq@3bit"), at("gptq@3bit", "rtn@8bit,on=embedding")
    before = RESIDUALS.posterior(ALL, [])
    error = 0.5
    after = RESIDUALS.posterior(ALL, [Observation(seen, of(before, seen)[0] + error, 1e-9)])
    assert of(after, seen) == (pytest.approx(of(before, seen)[0] + error, abs=1e-3), pytest.approx(0, abs=1e-3))
    assert of(after, child)[0] - of(before, child)[0] == pytest.approx(error, rel=1e-3)
    assert of(after, at("gptq@2bit"))[0] - of(before, at("gptq@2bit"))[0] > 0
    other = at("sparsegpt@0.3")
    assert of(after, other)[0] == pytest.approx(of(before, other)[0])


def test_the_posterior_is_that_of_the_conditional_normal_distribution():
    seen = [at("gptq@3bit"), at("gptq@4bit", "rtn@4bit,on=embedding"), at("sparsegpt@0.5")]
    expected = RESIDUALS.posterior(np.array(seen)).loss
    observations = [Observation(one, loss + 0.1, 0.01) for one, loss in zip(seen, expected, strict=True)]
    targets = np.array([at("gptq@3bit", "rtn@4bit,on=embedding"), at("sparsegpt@0.5", "rtn@2bit,on=embedding")])
    found = RESIDUALS.posterior(targets, observations)
    joint = RESIDUALS._covariance(*[np.concatenate([np.array(seen), targets])] * 2)
    scales = []
    for scale in (0.25, 0.5, 1.0, 2.0, 4.0):
        whole = scale**2 * joint[:3, :3] + 0.01 * np.eye(3)
        logarithm = -0.5 * (np.full(3, 0.1) @ np.linalg.inv(whole) @ np.full(3, 0.1) + np.log(np.linalg.det(whole)))
        scales.append((logarithm, scale))
    scale = max(scales)[1]
    whole = np.linalg.inv(scale**2 * joint[:3, :3] + 0.01 * np.eye(3))
    across = scale**2 * joint[3:, :3]
    assert found.loss - RESIDUALS.posterior(targets).loss == pytest.approx(across @ whole @ np.full(3, 0.1))
    assert found.spread**2 == pytest.approx(np.diag(scale**2 * joint[3:, 3:] - across @ whole @ across.T))
