"""The cost of a variant: times beside other programs never count."""

from core.findings.cost import cost_of
from core.specs import Stage
from tests.core.factories import make

STAGES = (Stage(method="gptq", ratio=0.75, ratio_kind="bits", pattern="4bit", seed=0), Stage(method="lora", seed=0))


def run(seconds, load=None, memory=1e9):
    found = {"seconds": seconds, "peak_memory": memory, "threads": 2, "device": "cpu (A)"}
    return found if load is None else found | {"other_load": load}


def cost(*of_twins):
    return cost_of([make(stages=STAGES, made=made).variant for made in of_twins])


def test_a_time_counts_only_if_each_stage_had_the_machine_alone():
    assert cost((run(10, 0.0), run(100, 0.05))) == (110, 1e9, "2 threads of cpu (A)")
    assert cost((run(10, 0.0), run(100, 0.06)), (run(12), run(90)))[0] is None
    assert cost(())[:2] == (None, None)


def test_stages_take_their_times_from_any_twin():
    busy, quiet = (run(1125, memory=2e9), run(1000, 0.01)), (run(120, 0.0), run(1000, 0.3))
    assert cost(busy, quiet) == (1120, 2e9, "2 threads of cpu (A)")
    assert cost(busy, quiet, (run(140, 0.0), run(1100, 0.0)))[0] == 130 + 1050


def test_a_stage_takes_its_time_from_a_chain_that_begins_with_the_same_stages():
    longer = make(stages=STAGES, made=(run(550, 0.0), run(1000)), key="b" * 64).variant
    other = make(stages=STAGES[1:], made=(run(7, 0.0),), key="c" * 64).variant
    short = make(stages=STAGES[:1], made=(run(1125),)).variant
    assert cost_of([short], [longer, other]) == (550, 1e9, "2 threads of cpu (A)")
    assert cost_of([longer], [short, other])[0] is None  # lora on the dense model is another stage
