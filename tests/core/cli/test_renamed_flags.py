"""Flags with a new name: the old one still works, is not in the help, and names the new one."""

import pytest

from core.cli.app import main
from core.cli.options import RENAMED
from core.request.reproduce import reproduce
from core.results import Result
from core.store.store import Store
from tests.core.imports.given import FILES

pytestmark = pytest.mark.usefixtures("machine")
RUN = ["run", "./tiny", "sparsegpt@0.7", "--calibration", "text.txt:8x32", "--perplexity", "text.txt@32:2"]
IMPORT = ["import", *map(str, FILES), "--model", "smollm2-135m", "--label", "mine", "--ratio", "0.5"]


def stored(method: str) -> Result:
    (result,) = (result for result in Store().results() if result.variant.method == method)
    return result


@pytest.mark.parametrize("flag", [["--scan", "block"], ["--scan=block"]])
def test_the_scan_flag_still_measures_sensitivity(capsys, flag):
    assert main([*RUN, *flag]) == 0
    assert capsys.readouterr().err.splitlines()[0] == "--scan is deprecated; use --sensitivity."
    assert [row.protocol["by"] for row in stored("sparsegpt").measurements if row.metric == "sensitivity"] == [
        "block"
    ] * 2
    assert reproduce(stored("sparsegpt")).endswith("--sensitivity=block")


@pytest.mark.parametrize("command", [RUN, ["sweep", "--models", "./tiny", "--methods", "wanda", "--ratios", "0.5"]])
def test_the_scoring_flag_still_sets_the_evaluation_precision(capsys, command):
    assert main([*command, "--scoring", "bf16"]) == 2
    note, error = capsys.readouterr().err.splitlines()
    assert note == "--scoring is deprecated; use --eval-dtype."
    assert error == "--eval-dtype needs tasks; add them with --tasks."


def test_the_kind_flag_still_sets_the_kind_of_an_imported_ratio(capsys):
    assert main([*IMPORT, "--kind", "parameters"]) == 0
    assert "--kind is deprecated; use --ratio-kind." in capsys.readouterr().err
    (result,) = Store().results()
    assert result.variant.ratio_kind == "parameters"


def test_new_flags_are_not_deprecated(capsys):
    assert main([*IMPORT, "--ratio-kind", "parameters"]) == 0
    assert "deprecated" not in capsys.readouterr().err


def test_help_shows_only_the_new_flags(capsys):
    helps = ""
    for command in ("run", "sweep", "import"):
        assert main([command, "--help"]) == 0
        helps += capsys.readouterr().out
    words = set(helps.replace("=", " ").split())
    assert {f"--{new}" for new in RENAMED.values()} <= words
    assert not {f"--{old}" for old in RENAMED} & words
