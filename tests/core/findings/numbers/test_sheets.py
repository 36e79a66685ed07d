"""CSV files that a spreadsheet opens: what begins like a formula is text, and numbers stay numbers."""

import io

import pandas as pd
import pytest

from core.findings.numbers.sheets import csv_text


def written(cell):
    return pd.read_csv(io.StringIO(csv_text(pd.DataFrame({"a": [cell], "b": [1]}))), dtype=str, na_filter=False).a[0]


@pytest.mark.parametrize(
    "cell", ["=1+1", "@SUM(A1)", "+cmd", "-cmd", "-1+2", "-1.5 %", "\t=1", "\r=1", "＝1", "-", "-²"]
)
def test_a_formula_becomes_text(cell):
    assert written(cell) == f"'{cell}".replace("\r", "\n")


@pytest.mark.parametrize("cell", ["-1.5", "+3", "-1e-05", "-.5", "-inf", "a=b", "50 %", "'=1", ""])
def test_numbers_and_words_do_not_change(cell):
    assert written(cell) == cell


def test_number_columns_do_not_change_and_a_carriage_return_starts_no_row():
    assert written("x\r=1") == "x\n=1"
    table = pd.DataFrame({"x": [-1.5, float("nan")], "n": [-2, 3], "mixed": [-1.5, "-x"], "on": [True, False]})
    assert csv_text(table) == "x,n,mixed,on\n-1.5,-2,-1.5,True\n,3,'-x,False\n"
