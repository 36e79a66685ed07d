"""Tables on lines of 100 characters, as files and pipes get them, and results in words."""

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.amount import Amount, Ratio
from core.base.errors import UserError
from core.cli.app import main
from core.cli.printing.console import PIPED, output
from core.cli.printing.description import describe_result
from core.cli.printing.tables import print_table, print_tsv, summary
from core.request.reproduce import reproduce
from core.request.stages import build_stage
from core.shipping.base import WrittenExport
from core.shipping.export import card
from core.shipping.formats import FORMATS
from core.shipping.proof import ExportCheck
from core.specs import ModelId, Stage, TextWindows
from core.store.store import Store
from tests.core.factories import LAYER, make, perplexity

KEY = "385a62d6e95c"
CHAIN = "gptq@4.25bit,clip=true,symmetric=false+distill-white,batch=4,dropout=0,learning_rate=0.002,patience=0,steps=92"
CELL = "0.5000, -25.0 [-38.7, -8.9] points, adjusted p 0.0026"


def printed(capsys, rows, **more):
    print_table(rows, **more)
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= output.width == PIPED == 100  # as of files and pipes
    return lines


def signs(texts):
    return Counter("".join("".join(texts).split()))


def test_long_cells_wrap_and_keys_do_not(capsys):
    row = {"key": KEY, "model": "smollm2-135m", "chain": CHAIN, "packed MB": "117.3", "perplexity": "21.13, x 1.020"}
    lines = printed(capsys, [row], title="t " * 99, note="n " * 99)
    assert sum(line.startswith(KEY) for line in lines) == 1
    assert any(line.rstrip().endswith("x 1.020") for line in lines)
    *parts, _ = [word for line in lines for word in line.split() if word in CHAIN and len(word) > 5]
    assert len(parts) > 1 and all(part.endswith(("+", ",")) for part in parts)
    assert not signs(row.values()) - signs(lines)


def test_columns_that_do_not_fit_move_to_further_tables(capsys):
    rows = [{"key": key, **{f"acc task{place}:500": CELL for place in range(12)}} for key in (KEY, "f" * 12)]
    rows[1]["acc task11:500"] = ""
    lines = printed(capsys, rows)
    tables = [line for line in lines if line.startswith("key")]
    assert len(tables) > 1 and sum(line.startswith(KEY) for line in lines) == len(tables)
    assert "\n".join(lines).count("points") == 23


TEXTS = st.text(st.characters(codec="ascii", exclude_categories=["C"]), max_size=60)


@settings(max_examples=30)
@given(st.lists(st.lists(TEXTS, min_size=9, max_size=9), min_size=1, max_size=3))
def test_no_cell_is_truncated(cells):
    rows = [{f"column {place}": cell for place, cell in enumerate(row)} for row in cells]
    with output.capture() as captured:
        print_table(rows)
    lines = captured.get().splitlines()
    assert max(map(len, lines)) <= PIPED and not signs(cell for row in cells for cell in row) - signs(lines)


def test_tsv_has_one_line_per_row_without_padding(capsys):
    print_tsv([{"key": KEY, "model": "my\tmodel\nnew", "value": "-25.0"}, {"key": "b", "model": "=1+1", "value": ""}])
    assert capsys.readouterr().out == f"key\tmodel\tvalue\n{KEY}\tmy model new\t-25.0\nb\t'=1+1\t\n"
    print_tsv([])
    assert capsys.readouterr().out == ""


LISTS = {"models": ["smollm2-135m", "llama-2-7b"], "methods": ["sparsegpt:", "wanda:"], "methods wanda": ["wanda:"]}


@pytest.mark.parametrize("command", LISTS)
def test_listed_tables_fit_the_width(capsys, command):
    assert main(command.split()) == 0
    out = capsys.readouterr().out
    rules = [line for line in out.splitlines() if line.startswith("─")]
    assert rules and max(map(len, rules)) <= PIPED
    assert all(name in out.split() for name in LISTS[command]) and ("sparsegpt:" in out) is (command == "methods")
    for words in ("Bits per weight: 2, 3, 4, 8.", "damping", "<= 10"):
        assert (words in " ".join(out.split())) is (command == "methods"), words


TEXT = TextWindows.parse("passages-calibration:16x2048")
LORA = build_stage("lora", calibration=TEXT)
MAGNITUDE = build_stage("magnitude", Ratio(0.5))
SPARSEGPT = build_stage("sparsegpt", Amount.parse("2:4"), calibration=TEXT)
MADE, PROOF = WrittenExport(Path("folder"), "load()"), ExportCheck(reason="not read.")
STAGES = (MAGNITUDE, LORA, SPARSEGPT)
NAMES = {ModelId("m", "r"): "m"}


@pytest.mark.parametrize(
    ("stage", "reason"),
    [(Stage(method="newer", ratio=0.5), "'newer'"), (Stage(method="magnitude", ratio=0.12345678), "another variant")],
)
def test_results_without_a_command_give_the_reason(stage, reason):
    with pytest.raises(UserError, match=reason):
        reproduce(make(stages=(stage,)))


def test_card_describes_every_stage():
    text = card(make(perplexity(20.0), stages=STAGES), FORMATS[0], "float32", MADE, PROOF)
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
