"""Layer reports as tables, on made-up reports and on those of structured pruning of a tiny model."""

import pandas as pd
import pytest
import torch

from core.base.paths import cached_variant
from core.engine.runs import run
from core.findings.inside.layers import (
    changed_layers,
    layer_differences,
    layer_table,
    measures_of,
    removed_blocks,
    stages_of,
)
from core.models.manifest import load_model_folder
from core.models.parts.blocks import find_blocks
from core.models.sources import identify, load_model
from core.request.complete import complete
from core.request.settings import RunSettings
from core.specs import Perplexity, Stage, TextWindows
from core.store.store import Store
from tests.core.factories import LAYER, WANDA, make

SVD = Stage(method="svd", ratio=0.5, ratio_kind="parameters")


def layer(role="q", block=0, **more):
    return LAYER.model_copy(update={"name": f"model.layers.{block}.{role}_proj", "role": role, "block": block} | more)


def titles(table, stage):
    return [measure.title for measure in measures_of(table, stage)]


def test_each_stage_has_a_table_of_sparsity_or_of_rank_and_removed_share():
    table = layer_table(make(layers=[layer(), layer("k", sparsity=0.25)]), 0)
    assert table["sparsity"].tolist() == [0.5, 0.25] and table["removed"].isna().all()
    assert titles(table, WANDA) == ["sparsity", "relative output error"]
    factored = make(layers=[layer(note="rank 2", error_kind="weight")], stages=[SVD])
    table = layer_table(factored, 0)
    assert table["rank"].tolist() == [2] and table["removed"].tolist() == [0.5] and table["sparsity"].isna().all()
    assert titles(table, SVD) == ["relative weight error", "rank", "share removed"]
    quantised = Stage(method="rtn", ratio=0.8125, ratio_kind="bits", pattern="3bit")
    table = layer_table(make(layers=[layer(bits=3)], stages=[quantised]), 0)
    assert titles(table, quantised) == ["relative output error", "bits per weight"]
    result = make(layers=[layer(), layer(stage=1, error=0.25)], stages=[WANDA, WANDA])
    assert stages_of(result) == [0, 1]
    assert [layer_table(result, stage)["error"].tolist() for stage in (0, 1)] == [[0.1], [0.25]]


def test_the_matrix_that_a_stage_changed_most_is_named_with_its_ties():
    made = make(layers=[layer(), layer("k", error=None), layer("v", block=1, error=0.0123)])
    found = changed_layers(made, "x")
    assert str(found) == "Most error: q of block 0, 10 %." and found.most == ["model.layers.0.q_proj"]
    assert found.left_out.to_dict() == {"model.layers.0.k_proj": "no error"} and found.name == "x"
    equal = make(layers=[layer(), layer("k"), layer("v", error=0.05)], stages=[WANDA, WANDA])
    found = changed_layers(equal, "x")
    assert (str(found), found.name) == ("Most error: q of block 0 and 1 more, 10 %.", "x, after stage 1")
    assert len(found.most) == 2 and found.left_out.empty
    assert str(changed_layers(make(layers=[layer(), layer("k")]), "x")) == "Error: 10 % in all 2 matrices."
    none = changed_layers(make(layers=[]), "x")
    assert str(none) == "x has no layer reports: its stages change no linear of a block." and none.rows.empty


def test_a_difference_covers_the_matrices_of_both():
    first = layer_table(make(layers=[layer(), layer("k", error=None), layer("v", error=0.5)]), 0)
    second = layer_table(make(layers=[layer(error=0.3), layer("k"), layer("o")]), 0)
    rows = layer_differences(first, second, "error")
    assert rows[["name", "first", "second"]].values.tolist() == [["model.layers.0.q_proj", 0.1, 0.3]]
    assert rows["difference"].tolist() == pytest.approx([-0.2])


@pytest.mark.usefixtures("machine")
@pytest.mark.parametrize("chain", ["slimllm@0.3", "slicegpt@0.3", "shortgpt@0.5"])
def test_removed_units_are_those_that_the_stored_model_lacks(chain):
    text = {"calibration": TextWindows.parse("text.txt:4x32"), "perplexity": [Perplexity.parse("text.txt@32:1")]}
    spec = complete("./tiny", chain, RunSettings(**text))
    result = run(spec.model_copy(update={"cached": True}), Store())
    dense, model = load_model(identify("./tiny")), load_model_folder(cached_variant(result.variant.key), torch.float32)
    width, table = dense.config.head_dim, layer_table(result, 0, dense.config.head_dim).set_index("name")
    shapes = {linear.name: linear.shape for linear in find_blocks(dense).all_linears()}
    gone = removed_blocks(result.layers)
    kept = [block for block in range(len(find_blocks(dense).holder)) if block not in gone]
    assert len(kept) == len(find_blocks(model).holder)
    cut = 0
    for linear in find_blocks(model).all_linears():
        name = linear.name.replace(f".{linear.block}.", f".{kept[linear.block]}.", 1)
        if name in table.index:  # not a matrix that slicing adds
            row, fewer = table.loc[name], sum(shapes[name]) - sum(linear.shape)
            assert pd.Series([width * row["heads"], row["channels"], row["directions"]]).sum() == fewer, name
            cut += fewer
    assert bool(cut) != bool(gone)
