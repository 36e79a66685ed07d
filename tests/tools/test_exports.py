"""The program that exports every chart and table, on one state of a page."""

import pytest

from tests.tools.programs import run_program


@pytest.mark.full
def test_a_state_of_a_page_is_exported(results_dir, tmp_path, capsys, monkeypatch):
    assert run_program("tools.exports", tmp_path / "exports", "published-0") == 0
    files = {file.suffix for file in (tmp_path / "exports").iterdir()}
    assert ".tex" in files
    assert "tables" in capsys.readouterr().out
