"""Layout of a made-up family tree: rows of series, columns of amounts, and folded methods and families."""

from collections import Counter
from itertools import pairwise

import pandas as pd
import pytest

from dashboard.charts.family.layout import STEP, lay_out
from tests.dashboard.charts.family.made_up import ID, NODES


def test_an_opened_method_has_a_row_per_series_and_later_stage():
    tree = lay_out(NODES, "unstructured", ["wanda"])
    assert [(row.level, row.text) for row in tree.rows] == [
        (0, "Dense"),
        (1, "Wanda"),
        (2, "default parameters"),
        (3, "+ GPTQ, 4 bit"),
        (4, "+ RTN, 8 bit, on embedding"),
        (3, "+ AdaPrune"),
        (4, "+ LoRA"),
        (3, "+ LoRA"),
        (2, "allocation owl"),
        (1, "Magnitude"),
        (1, "Family: structured"),
        (1, "Family: quantisation"),
    ]
    tree = lay_out(NODES[:1], "dense", [])
    assert [row.text for row in tree.rows] == ["Dense"] and not tree.folds and not tree.columns


def test_every_node_has_a_place_of_its_own_and_amounts_of_a_series_are_in_order_on_one_line():
    tree = lay_out(NODES, "unstructured", ["wanda", "magnitude"])
    shown = NODES[NODES["first_method"].isin(("dense", "wanda", "magnitude"))]
    assert set(tree.places) == set(shown["node"])
    assert max(Counter(tree.places.values()).values()) == 1
    assert list(tree.columns) == ["10 %", "30 %", "50 %", "70 %", "2:4"]
    assert list(tree.columns.values()) == sorted(tree.columns.values())
    for chain, column in (("wanda@0.5", "50 %"), ("magnitude@0.5", "50 %"), ("wanda@2:4", "2:4")):
        assert tree.places[ID[chain]][0] == tree.columns[column]
    heights = {tree.places[ID[chain]][1] for chain in ("wanda@0.1", "wanda@0.3", "wanda@0.5", "wanda@2:4")}
    assert len(heights) == 1


def test_a_later_stage_hangs_below_its_parent_and_widens_its_column():
    tree = lay_out(NODES, "unstructured", ["wanda"])
    for row in NODES[(NODES["first_method"] == "wanda") & (NODES["depth"] > 1)].to_dict("records"):
        (x, y), (above_x, above_y) = tree.places[row["node"]], tree.places[row["parent"]]
        assert x == pytest.approx(above_x + STEP) and y > above_y
        assert tree.branches[row["node"]] == [(above_x, above_y), (above_x, y), (x, y)]
    wide = {name: end - start for (name, start), (_, end) in pairwise(tree.columns.items())}
    assert wide["30 %"] == pytest.approx(1.0) and wide["50 %"] > wide["30 %"]
    deepest = max(tree.places[ID[chain]][0] for chain in ID if chain.startswith("wanda@0.5+"))
    assert deepest < tree.columns["70 %"]


def test_a_branch_of_a_first_stage_starts_at_the_dense_model():
    tree = lay_out(NODES, "quantisation", ["rotate"])
    branch = tree.branches[ID["rotate"]]
    assert branch[0] == tree.places[ID["dense"]] and branch[-1] == tree.places[ID["rotate"]]
    (row,) = (row for row in tree.rows if row.height == tree.places[ID["rotate+gptq@4bit"]][1])
    assert list(tree.columns) == ["–"] and row.text == "+ GPTQ, 4 bit"


def test_a_folded_row_has_the_number_of_its_variants_and_their_lowest_loss():
    tree = lay_out(NODES, "unstructured", ["wanda"])
    folds = {fold.target: fold for fold in tree.folds}
    assert folds["method:wanda"].opened and not folds["method:magnitude"].opened
    assert folds["method:magnitude"].text == "4 variants, best 1.10" and folds["method:magnitude"].best == 1.1
    assert folds["family:structured"].text == "1 variant, best 2.50"
    assert folds["family:quantisation"].text == "2 variants, best 1.10"  # Rotate alone has no results
    marked = NODES.assign(own_grid=NODES["chain"] == "magnitude@0.1")
    (fold,) = (fold for fold in lay_out(marked, "unstructured", []).folds if fold.target == "method:magnitude")
    assert fold.text == "4 variants, best 3.00"
    unknown = NODES.assign(times_dense=float("nan"))
    assert "3 variants" not in {fold.text for fold in lay_out(NODES, "unstructured", []).folds}
    assert "4 variants" in {fold.text for fold in lay_out(unknown, "unstructured", []).folds}


def test_twins_of_one_series_and_amount_have_a_row_each():
    twin = NODES[NODES["chain"] == "magnitude@0.5"].assign(node="f" * 64, key="f" * 64)
    both = pd.concat([NODES, twin], ignore_index=True)
    tree = lay_out(both, "unstructured", ["magnitude"])
    places = [tree.places[ID["magnitude@0.5"]], tree.places["f" * 64]]
    assert places[0][0] == places[1][0] and places[0][1] != places[1][1]
