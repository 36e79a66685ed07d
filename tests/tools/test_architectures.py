"""The page of architectures: one of each class in `make test`, the others in `make full`."""

import pytest

from tests.tools.programs import run_program
from tools.architectures.models import ARCHITECTURES
from tools.architectures.page import PAGE, cells, reasons_on
from tools.architectures.trial import CHAINS, try_architecture

# Plain blocks, joined projections, parallel blocks, a mixture, and a hybrid with Mamba-2.
IN_TEST = ("llama", "phi3", "cohere", "gpt_oss", "nemotron_h")


@pytest.mark.parametrize(
    "architecture", [name if name in IN_TEST else pytest.param(name, marks=pytest.mark.full) for name in ARCHITECTURES]
)
def test_the_page_says_what_each_architecture_does(architecture):
    trial = try_architecture(architecture)
    line = next(line for line in PAGE.read_text().splitlines() if line.startswith(f"| `{architecture}` |"))
    written = [cell.strip() for cell in line.strip("|").split("|")]
    assert written == cells(trial, reasons_on(PAGE.read_text()))


def test_enough_architectures_work():
    """Those of the page, which the tests above compare with the program."""
    lines = [line for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    rows = {line.split("`")[1]: dict(zip(CHAINS, line.split("|")[3:-1], strict=True)) for line in lines}
    worked = {column: {name for name, row in rows.items() if row[column].strip() == "yes"} for column in CHAINS}
    mixtures = {"mixtral", "qwen3_moe", "olmoe", "deepseek_v3", "gpt_oss", "granitemoe"}
    assert len(rows) >= 74 and rows.keys() == ARCHITECTURES.keys()
    both = worked["unstructured"] & worked["quantisation"]
    assert both >= {"bloom", "mpt", "gptj"} | mixtures and len(both) >= 34
    assert len(worked["heads and channels"]) >= 26 and worked["experts"] >= mixtures


@pytest.mark.full
def test_the_program_prints_some_architectures(capsys):
    assert run_program("tools.architectures.page", "llama") == 0
    assert "| `llama` | 100.0 % | yes | yes |" in capsys.readouterr().out
