"""Results in words: the command that makes a variant again, its line in tables, its card."""

import pytest

from core.cli.reproduce import reproduce
from core.cli.tables import summary
from core.request.stages import build_stage
from core.shipping.checkpoint import card
from core.specs import Calibration, Stage
from tests.core.made import WANDA, make, perplexity

TEXT = Calibration.parse("passages-calibration:16x2048")
LORA = build_stage("lora", calibration=TEXT)
MAGNITUDE, SPARSEGPT = build_stage("magnitude", 0.5), build_stage("sparsegpt", pattern="2:4", calibration=TEXT)
CHAIN = (MAGNITUDE, LORA, SPARSEGPT)


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
    assert (one["method"], one["asked"]) == ("wanda", "50 %")
    assert (trained["method"], trained["asked"]) == ("wanda + lora", "50 %")
    assert (chain["method"], chain["asked"]) == ("magnitude + lora + sparsegpt", "50 % + 2:4")


def test_the_card_tells_every_stage():
    text = card(make(perplexity(20.0), stages=CHAIN), plain=True, dtype="float32")
    assert "# m, Magnitude, 50 %, then LoRA, then SparseGPT, 2:4" in text
    assert "by the chain `magnitude@0.5+lora+sparsegpt@2:4`, calibration text `passages-calibration:16x2048`, " in text
    told = ("1. Magnitude: compressed, 50 %;", "2. LoRA: trained, on `", "3. SparseGPT: compressed, 2:4, on `")
    assert [text.index(one) for one in told] == sorted(text.index(one) for one in told)
    assert text.count("SparseGPT: Massive Language Models") == 1 and "LoRA: Low-Rank Adaptation" in text
    assert "# m, Dense\n" in card(make(stages=[Stage(method="dense")]), plain=True, dtype="float32")
    assert "# m, Dense, then LoRA\n" in card(make(stages=[LORA]), plain=True, dtype="float32")


def test_the_card_of_a_reconstruction_calls_it_one_and_cites_each_method_once():
    adaprune = build_stage("adaprune", calibration=TEXT)
    text = card(make(stages=[MAGNITUDE, adaprune, MAGNITUDE, adaprune]), plain=True, dtype="float32")
    assert "2. AdaPrune: reconstructed, on `passages-calibration:16x2048`" in text and "trained," not in text
    assert "# m, AdaPrune, 50 %, then AdaPrune, 50 %\n" in text
    assert text.count("Accelerated Sparse Neural Training") == 1 and "Method: None" not in text
