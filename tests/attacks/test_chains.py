"""Chains of stages: parsed, completed, written and parsed again, they keep the key of their variant."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.base.errors import UserError
from core.notation.chain import common_defaults, format_chain
from core.registry import STAGES
from core.request.complete import complete
from core.request.settings import RunSettings
from core.specs import TextWindows
from tests.attacks.damage import NUMBERS, attack, damaged, examples
from tests.attacks.machine import limited

TEXTS = ("text.txt:4x32", "text.txt:2x64", "text.txt:1x2")
OTHERS = {"layers": ("0:1", "1:", "0:0", "mlp"), "text": TEXTS, "seed": ("0", "1", "7")}  # of every stage
WORDS = ("true", "global", "uniform", "owl")
AMOUNTS = st.sampled_from(("0.5", "0.25", "0.1", ".7", "2:4", "4:8", "4bit", "2x", "0", "1e-3", ""))


@st.composite
def stages(draw):
    """Draw a stage that is often valid, with an amount that it or sometimes another takes."""
    stage = draw(st.sampled_from(STAGES))
    units = {"bit": stage.bit_choices, "x": stage.factor_choices}
    own = [f"{value}{unit}" for unit, values in units.items() for value in values or ()]
    chain = stage.name
    if stage.takes_amount or draw(st.integers(0, 19)) == 19:
        chain += f"@{draw(st.sampled_from(own) if own and draw(st.integers(0, 19)) < 19 else AMOUNTS)}"
    fields = stage.Parameters.model_fields
    for name in draw(st.lists(st.sampled_from([*fields, *OTHERS]), max_size=2)):
        own = () if name in OTHERS else (str(fields[name].default).lower(), *NUMBERS[:12], *WORDS)
        chain += f",{name}={draw(st.sampled_from(OTHERS.get(name, own)))}"
    return chain


CHAINS = st.lists(stages(), min_size=1, max_size=3).map("+".join)
SEEDS = st.sampled_from((0, 0, 3))


def check_key(chain, text, seed):
    """Complete a chain; write it, complete it again, and compare the keys."""
    windows = TextWindows.parse(text)
    with limited():
        try:
            first = complete("./tiny", chain, RunSettings(calibration=windows, train=windows, seed=seed))
        except UserError as error:
            assert str(error).strip()
            return
        again, flags = format_chain(first.variant.stages), common_defaults(first.variant.stages)
        more = {"calibration": flags.calibration, "train": flags.train, "seed": flags.seed or 0}
        second = complete("./tiny", again, RunSettings(**more))
        assert second.variant.key == first.variant.key, (again, flags)
        assert format_chain(second.variant.stages) == again


@pytest.mark.usefixtures("tiny_folder")
@examples(30)
@given(CHAINS, st.sampled_from(TEXTS), SEEDS)
def test_a_written_chain_keeps_its_key(chain, text, seed):
    check_key(chain, text, seed)


@attack
@pytest.mark.usefixtures("tiny_folder")
@examples(4_000)
@given(CHAINS | damaged(CHAINS, CHAINS), st.sampled_from(TEXTS), SEEDS)
def test_a_damaged_chain_keeps_its_key_or_is_refused(chain, text, seed):
    check_key(chain, text, seed)
