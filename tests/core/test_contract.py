"""Every method and recovery of the registry holds to one contract, and the contract fails for those that do nothing."""

import pytest

from core.methods.dense import Dense
from core.registry import METHODS, RECOVERIES
from core.training.base import TrainedMethod
from tests.core.contract import (
    check_declared,
    check_key,
    check_layers,
    check_nothing,
    check_of,
    check_pattern,
    check_pattern_refused,
    check_recovered,
    check_saved,
    check_seeds,
    check_share,
)
from tests.core.ground import BLOCKS, Case, Ground, cases
from tests.core.idle import idle
from tests.core.tiny import tiny

PLAIN = [Case(method) for method in METHODS]
CASES = cases(METHODS)
RECOVERED = cases(RECOVERIES)
RATIOS = [0.2, 0.5]  # beside the one that all cases are made at
PATTERNS = ["2:4", "4:8", "1:4"]
KINDS = {type(case.made): case for case in reversed(CASES)}  # a method may be carried out by several classes
WORKING = [case for case in KINDS.values() if case.method is not Dense]


@pytest.fixture(scope="module")
def ground(folder, tmp_path_factory):
    """A model of four blocks, with the tokenizer of the small one."""
    place = tmp_path_factory.mktemp("contract")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLIMSCOPE_CACHE", str(place / "cache"))
        for file in (folder / "tiny").glob("*token*"):
            (place / file.name).write_bytes(file.read_bytes())
        tiny(num_hidden_layers=BLOCKS).save_pretrained(place)
        yield Ground.at(place)


@pytest.fixture(scope="module")
def made(ground):
    """Return what a case makes, made once."""
    known = {}

    def make(case, **asked):
        name = str(case), *asked.items()
        if name not in known:
            known[name] = ground.make(case, **asked)
        return known[name]

    return make


@pytest.mark.parametrize("method", [*METHODS, *RECOVERIES], ids=lambda method: method.name)
def test_the_declaration_is_complete(method, ground):
    check_declared(method)
    check_key(method, ground)


def test_everything_is_listed_once():
    names = [method.name for method in (*METHODS, *RECOVERIES)]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("case", [*CASES, *RECOVERED], ids=str)
def test_every_setting_is_one_method_whose_cost_follows_the_text(case, ground):
    check_of(case, ground)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_asked_share_goes_and_what_is_saved_comes_back(case, made, tmp_path):
    check_share(made(case))
    check_saved(made(case), tmp_path)


@pytest.mark.parametrize("ratio", RATIOS)
@pytest.mark.parametrize("case", PLAIN, ids=str)
def test_the_share_goes_at_other_ratios(case, ratio, ground):
    check_share(ground.make(case, ratio=ratio))


@pytest.mark.parametrize("case", [case for case in PLAIN if case.method.by_layer], ids=str)
def test_layers_that_are_not_selected_stay(case, ground):
    check_layers(ground, case)


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("case", PLAIN, ids=str)
def test_patterns_are_exact_or_refused(case, pattern, made, ground):
    if case.method.patterns:
        check_pattern(made(case, pattern=pattern).model, pattern)
    else:
        check_pattern_refused(ground, case)


@pytest.mark.parametrize("case", [case for case in CASES if not issubclass(case.method, TrainedMethod)], ids=str)
def test_a_ratio_of_zero_changes_nothing(case, ground):
    check_nothing(ground, case)


@pytest.mark.parametrize("case", PLAIN, ids=str)
def test_one_seed_gives_one_result(case, made, ground):
    check_seeds(ground, case, made(case))


@pytest.mark.parametrize("recovery", [Case(recovery) for recovery in RECOVERIES], ids=str)
@pytest.mark.parametrize("case", list(KINDS.values()), ids=str)
def test_a_recovery_keeps_what_the_method_made(case, recovery, made):
    check_recovered(made(case), recovery)


@pytest.mark.parametrize("recovery", RECOVERED, ids=str)
def test_every_recovery_keeps_patterns(recovery, made):
    for case in PLAIN:
        if case.method.patterns:
            check_recovered(made(case, pattern="2:4"), recovery)


@pytest.mark.parametrize("case", WORKING, ids=str)
def test_the_contract_fails_for_a_method_that_does_nothing(case, ground, monkeypatch):
    idle(monkeypatch, type(case.made))
    with pytest.raises(AssertionError):
        check_share(ground.make(case))
    if case.method.by_layer:
        with pytest.raises(AssertionError):
            check_layers(ground, case)
    if case.method.patterns:
        with pytest.raises(AssertionError):
            check_pattern(ground.make(case, pattern="2:4").model, "2:4")


@pytest.mark.parametrize("recovery", RECOVERIES, ids=lambda recovery: recovery.name)
def test_the_contract_fails_for_a_recovery_that_does_nothing(recovery, made, monkeypatch):
    idle(monkeypatch, recovery)
    with pytest.raises(AssertionError):
        check_recovered(made(PLAIN[1]), Case(recovery))
