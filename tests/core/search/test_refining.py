"""Refinement of a chain: switches of levels between blocks, put together from variants that are made once."""

from itertools import product

import numpy as np
import pytest

from core.engine import runs
from core.notation.chain import parse
from core.progress import silent
from core.request.resolve import resolve_chain
from core.search.autopilot import Refined
from core.search.estimates import Estimates
from core.search.question import prepare
from core.search.refining import WINDOWS, Refiner, refinable
from core.search.trials import Racer
from core.store.store import Store
from tests.core.search.texts import compute, pilot_of, question

pytestmark = pytest.mark.usefixtures("tiny_texts")


def prepared():
    return prepare(question(10), Store())


def started(chain):
    """A refiner of a measured chain whose levels are made."""
    asked, store = prepared(), Store()
    Racer(asked, compute, store).race([chain])
    refiner = Refiner(chain, asked, store, {})
    levels = refiner.levels()
    for _, result_of in compute(list(levels.values())):
        result_of()
    refiner.load(levels, silent)
    return refiner


def stored_losses(refiner, chain):
    spec = refiner.prepared.run(chain, WINDOWS)
    result = runs.run(spec, Store())
    (row,) = [row for row in result.measurements if row.protocol["windows"] == WINDOWS]
    return -Store().samples(result.variant.key, row)["perplexity"].to_numpy()


def test_a_model_of_parts_is_the_variant_that_its_shifts_name():
    refiner = started("magnitude@0.5+rtn@8bit,on=embedding")  # its parts depend on no text
    chain = refiner.chain({0: 1, 1: -1})
    assert chain == "magnitude@0.5,shifts=0:1;1:-1+rtn@8bit,on=embedding"
    np.testing.assert_allclose(refiner.losses, stored_losses(refiner, refiner.chain({})), rtol=1e-6)
    found = refiner.mosaic.losses(refiner._choice({0: 1, 1: -1}))
    np.testing.assert_allclose(found, stored_losses(refiner, chain), rtol=1e-6)
    assert abs(found - refiner.losses).max() > 1e-4


def test_a_switch_is_kept_only_if_every_window_gains():
    refiner = started("magnitude@0.5")
    before, kept, number = refiner.losses, [], 0
    while (switched := refiner.switch(number)) is not None:
        kept.append(switched)
        number += 1
    assert len(kept) == 2  # of two blocks
    assert (refiner.losses < before).all() == any(kept)
    for shifts in ({0: 1, 1: -1}, {0: -1, 1: 1}):
        other = refiner.mosaic.losses(refiner._choice(shifts))
        assert refiner.shifts == shifts or not (other < refiner.losses).all()


def test_bits_are_planned_as_the_variant_plans_them():
    refiner = started("gptq@3.5bit")
    store = Store()
    for shifts in ({}, {0: 3, 1: -3}):
        key = runs.run(refiner.prepared.run(refiner.chain(shifts), WINDOWS), store).variant.key
        assert refiner._choice(shifts) == {report.name: report.bits for report in store.get(key).layers}


@pytest.mark.parametrize(
    ("place", "chains"),
    [
        (0, ("magnitude@0.5", "wanda@0.5+rtn@4bit,on=embedding")),
        (1, ("sparsegpt@0.5+gptq@3.5bit",)),
        (None, ("magnitude@2:4", "gptq@4bit", "rtn@4bit", "wanda@0.5,allocation=owl", "wanda@0.5,shifts=0:1;1:-1")),
    ],
)
def test_what_can_differ_between_blocks(place, chains):
    for chain in chains:
        assert refinable(resolve_chain(parse(chain), prepared().defaults)) == place, chain


def started_search(minutes):
    return pilot_of(question(0.1, minutes, ("magnitude",)))[2]


def searched(minutes):
    pilot = started_search(minutes)
    return pilot, list(pilot.search())


@pytest.mark.parametrize(("seconds", "reserved"), [(0.0, 900.0), (900.0, 0.0)])
def test_trials_leave_time_only_to_a_refinement_that_fits(monkeypatch, seconds, reserved):
    monkeypatch.setattr(Estimates, "of_another", lambda self, chain: seconds)
    pilot = started_search(60)
    steps = pilot.search()
    next(steps), next(steps)
    assert pilot.seconds_left - pilot.sampler.left() == pytest.approx(reserved)


def test_the_last_quarter_refines_the_best_chain():
    pilot, steps = searched(minutes=16)
    switches = [step for step in steps if isinstance(step, Refined)]
    assert [step.switches for step in switches] == [1, 2]
    trials = [step for step in steps if not isinstance(step, Refined)]
    assert {step.chain for step in switches} <= {step.chain for step in trials}
    made = [step.tried for step in trials if "shifts=" in step.chain]
    assert len(made) == (switches[-1].kept > 0)
    assert all(one.bytes <= 1e5 for one in made)
    again, more = searched(minutes=18)
    assert all(step.chain != switches[0].chain for step in more if isinstance(step, Refined))  # it has ended
    for one, ranked in product(made, (pilot.ranked(), again.ranked())):
        origin = next(other for other in ranked if other.chain == switches[0].chain)
        assert (ranked.index(one) < ranked.index(origin)) == (one.loss < origin.loss)
