"""Results in words: the command that makes a variant again, its line in tables, its card."""

from pathlib import Path

import pytest

from core.amount import Amount, Ratio
from core.base.errors import UserError
from core.cli.printing.description import describe_result
from core.cli.printing.tables import summary
from core.request.reproduce import reproduce
from core.request.stages import build_stage
from core.shipping.base import WrittenExport
from core.shipping.export import card
from core.shipping.formats import FORMATS
from core.shipping.proof import ExportCheck
from core.specs import ModelId, Stage, TextWindows
from core.store.store import Store
from tests.core.factories import LAYER, make, perplexity

TEXT = TextWindows.parse("passages-calibration:16x2048")
LORA = build_stage("lora", calibration=TEXT)
MAGNITUDE = build_stage("magnitude", Ratio(0.5))
SPARSEGPT = build_stage("sparsegpt", Amount.parse("2:4"), calibration=TEXT)
MADE, PROOF = WrittenExport(Path("folder"), "load()"), ExportCheck(reason="not read.")
CHAIN = (MAGNITUDE, LORA, SPARSEGPT)
NAMES = {ModelId("m", "r"): "m"}


@pytest.mark.parametrize(
    ("stage", "reason"),
    [(Stage(method="newer", ratio=0.5), "'newer'"), (Stage(method="magnitude", ratio=0.12345678), "another variant")],
)
def test_results_without_a_command_give_the_reason(stage, reason):
    with pytest.raises(UserError, match=reason):
        reproduce(make(stages=(stage,)))


def test_card_describes_every_stage():
    text = card(make(perplexity(20.0), stages=CHAIN), FORMATS[0], "float32", MADE, PROOF)
    assert "# m, Magnitude, 50 %, then LoRA, then SparseGPT, 2:4" in text
    assert "the chain `magnitude@0.5+lora+sparsegpt@2:4`, calibration data `passages-calibration:16x2048`, " in text
    lines = ("1. Magnitude: compressed, 50 %;", "2. LoRA: fine-tuned, on `", "3. SparseGPT: compressed, 2:4, on `")
    assert [text.index(one) for one in lines] == sorted(text.index(one) for one in lines)
    assert text.count("SparseGPT: Massive Language Models") == 1 and "LoRA: Low-Rank Adaptation" in text
    assert "slimscope run m magnitude@0.5+lora+sparsegpt@2:4 --calibration passages-calibration:16x2048" in text
    assert "--save FOLDER --format huggingface --type fp32\n" in text and "\nExport not checked: not read.\n" in text
    assert "# m, Dense\n" in card(make(stages=[Stage(method="dense")]), FORMATS[0], "float32", MADE, PROOF)
    assert "# m, Dense, then LoRA\n" in card(make(stages=[LORA]), FORMATS[0], "float32", MADE, PROOF)


def test_card_says_whose_numbers_it_has_beside_rounded_files():
    exact, rounded = (card(make(perplexity(20.0)), FORMATS[1], kind, MADE, PROOF) for kind in ("float32", "Q8_0"))
    words = "The numbers below are those of the variant computed in float32, not of these files in Q8_0."
    assert words in rounded and "The numbers below" not in exact


def test_card_names_reconstructions_and_cites_each_method_once():
    adaprune = build_stage("adaprune", calibration=TEXT)
    text = card(make(stages=[MAGNITUDE, adaprune, MAGNITUDE, adaprune]), FORMATS[0], "float32", MADE, PROOF)
    assert "2. AdaPrune: reconstructed, on `passages-calibration:16x2048`" in text and "trained," not in text
    assert "# m, AdaPrune, 50 %, then AdaPrune, 50 %\n" in text
    assert text.count("Accelerated Sparse Neural Training") == 1 and "Method: None" not in text


QUANTISED = Stage(method="gptq", ratio=0.75, ratio_kind="bits", pattern="4bit")


def test_quantised_variants_show_bits_instead_of_a_removed_share(capsys):
    pruned, quantised = make(layers=(LAYER,)), make(stages=(QUANTISED,), layers=(LAYER.model_copy(update={"bits": 4}),))
    row, other = summary([pruned, quantised], Store(), NAMES)
    assert (row["block weights removed"], row["model removed"], row["bits per weight"]) == ("50.0 %", "25.0 %", "9.00")
    assert (other["block weights removed"], other["model removed"], other["bits per weight"]) == ("", "", "9.00")
    cards = [card(one, FORMATS[0], "float32", MADE, PROOF) for one in (pruned, quantised)]
    assert "\n25.0 % of the model's parameters are zero or removed; 200 parameters are stored, in fp32.\n" in cards[0]
    assert "\n9.00 bits per block weight; 200 parameters are stored, in fp32.\n" in cards[1]
    for result, sparsity in ((pruned, True), (quantised, False)):
        describe_result(result, None, Store(), NAMES)
        assert ("sparsity" in capsys.readouterr().out) is sparsity
