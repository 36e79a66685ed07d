"""The program that checks that the tiers contain all tests, on one file."""

import pytest

from tests.tools.programs import run_program


@pytest.mark.full
def test_the_tiers_of_a_file_contain_all_its_tests(capfd):
    assert run_program("tools.tiers", "tests/test_tiers.py") == 0
    assert "The tiers together contain all tests; test and full share none." in capfd.readouterr().out
