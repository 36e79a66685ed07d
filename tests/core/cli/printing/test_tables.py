"""Tables on lines of 100 characters, as files and pipes get them, and as tab-separated values."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.cli.app import main
from core.cli.printing.console import PIPED, output
from core.cli.printing.tables import print_table, print_tsv

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
