"""Results in words: the command that makes a variant again, its line in tables, its card."""

import shlex

import pytest

from core.cli import compute
from core.cli.app import main
from core.cli.reproduce import reproduce
from core.cli.tables import point_name, summary
from core.engine.variants import describe
from core.request.complete import complete
from core.request.stages import build_stage
from core.shipping.checkpoint import card
from core.specs import Calibration, RunSpec, Stage
from tests.core.made import WANDA, make, perplexity

TEXT = Calibration.parse("passages-calibration:16x2048")
LORA = build_stage("lora", calibration=TEXT)
MAGNITUDE, SPARSEGPT = build_stage("magnitude", 0.5), build_stage("sparsegpt", pattern="2:4", calibration=TEXT)
CHAIN = (MAGNITUDE, LORA, SPARSEGPT)


@pytest.fixture
def asked(results_dir, tmp_path, monkeypatch):
    """The runs that the command line would have computed."""
    monkeypatch.setenv("SLIMSCOPE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("SLIMSCOPE_DATA", raising=False)
    runs = []
    monkeypatch.setattr(compute, "compute_once", lambda spec, *_: runs.append(spec) or make())
    return runs


@pytest.mark.parametrize(
    ("method", "wishes"),
    [
        ("dense", {}),
        ("magnitude", {"ratio": 0.3, "settings": {"scope": "global"}, "layers": "0:3"}),
        ("sparsegpt", {"pattern": "2:4", "settings": {"damping": 0.1}, "seed": 2, "dtype": "bfloat16"}),
        (
            "magnitude",
            {"ratio": 0.5, "recovery": "lora", "recovery_settings": {"rank": 4}, "training": TEXT, "seed": 3},
        ),
        ("wanda", {"ratio": 0.5, "recovery": "distill-white", "training": TEXT}),
    ],
)
def test_the_command_makes_the_same_variant(asked, method, wishes):
    spec = complete("smollm2-135m", method, **wishes).variant
    number = perplexity(20.0, "passages-eval")
    command = reproduce(make(number).model_copy(update={"variant": describe(spec)}))
    assert main(shlex.split(command)[3:]) == 0
    assert asked[0].variant == spec
    assert [str(wanted) for wanted in asked[0].perplexity] == ["passages-eval@2048:16"]


@pytest.mark.parametrize(
    "stages",
    [
        (MAGNITUDE, SPARSEGPT),
        CHAIN,
        (MAGNITUDE, LORA, LORA),
        (SPARSEGPT, LORA.model_copy(update={"seed": 5})),
        (LORA,),
    ],
)
def test_there_is_no_command_for_what_run_cannot_say(stages):
    assert reproduce(make(stages=stages)) is None


def test_a_method_of_another_version_is_told_with_its_own_parameters():
    command = reproduce(make(stages=[Stage(method="newer", ratio=0.5, parameters={"a": 1})]))
    assert command == "python -m core run m newer --ratio 0.5 --set a=1"


def test_tables_name_every_stage_and_what_it_was_asked_for():
    one, trained, chain = (summary([make(stages=stages)])[0] for stages in ((WANDA,), (WANDA, LORA), CHAIN))
    assert (one["method"], one["asked"]) == ("wanda", "0.5")
    assert (trained["method"], trained["asked"]) == ("wanda + lora", "0.5")
    assert (chain["method"], chain["asked"]) == ("magnitude + lora + sparsegpt", "0.5 + 2:4")
    run = RunSpec(variant={"model": "m", "revision": "r", "stages": CHAIN})
    assert point_name(run) == "m magnitude 0.5 + lora + sparsegpt 2:4"


def test_the_card_tells_every_stage():
    text = card(make(perplexity(20.0), stages=CHAIN), plain=True)
    assert "# m, Magnitude, 50%, then SparseGPT, 2:4" in text
    made, trained, pruned = (text.index(start) for start in ("with `magnitude`;", "trained with `lora` on", "2:4, cal"))
    assert made < trained < pruned
    assert "SparseGPT: Massive Language Models" in text
    assert "# m, Dense, 0%\n" in card(make(stages=[Stage(method="dense"), LORA]), plain=True)
