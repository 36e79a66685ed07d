"""Matrices before and after a stage, against the models that transformers loads."""

import shutil

import numpy as np
import pytest
import torch

from core.base.errors import UserError
from core.base.paths import cached_variant
from core.engine.runs import run
from core.findings.inside.weights import lacking_variants, matrices
from core.models.manifest import load_model_folder
from core.models.modeling_slimscope import Factors
from core.models.sources import identify, load_model
from core.request.complete import complete
from core.request.settings import RunSettings
from core.specs import Perplexity, TextWindows
from core.store.store import Store

pytestmark = pytest.mark.usefixtures("machine")
NAME = "model.layers.1.mlp.down_proj"


def made(chain, dtype="float32"):
    text = {"calibration": TextWindows.parse("text.txt:4x32"), "perplexity": [Perplexity.parse("text.txt@32:1")]}
    spec = complete("./tiny", chain, RunSettings(dtype=dtype, **text))
    return spec.variant, run(spec.model_copy(update={"cached": True}), Store()).layers


def weight(model, name=NAME):
    module = model.get_submodule(name)
    if isinstance(module, Factors):
        return (module[1].weight @ module[0].weight).detach().float().numpy()
    return module.weight.detach().float().numpy()


def stored(variant):
    return load_model_folder(cached_variant(variant.key), getattr(torch, variant.dtype))


@pytest.mark.parametrize(
    ("chain", "dtype"), [("wanda@0.5", "bfloat16"), ("svd@0.3", "float32"), ("slimllm@0.3", "float32")]
)
def test_a_matrix_is_that_of_the_dense_model_and_of_the_variant(chain, dtype):
    variant, layers = made(chain, dtype)
    pair = matrices(variant, layers, 0, NAME)
    assert np.array_equal(pair.before, weight(load_model(identify("./tiny"), "float32")))
    assert np.allclose(pair.after, weight(stored(variant)), atol=1e-7)
    assert not np.array_equal(pair.before, pair.after)


def test_a_later_stage_starts_from_the_variant_before_it():
    variant, layers = made("wanda@0.5+gptq@4bit,group_size=0")
    first, second = matrices(variant, layers, 1, NAME)
    assert np.array_equal(first, weight(stored(variant.prefixes[1])))
    assert np.array_equal(second, weight(stored(variant)))


def test_later_blocks_move_up_where_a_block_is_removed():
    variant, layers = made("shortgpt@0.5")
    (removed,) = {layer.block for layer in layers if layer.shape == (0, 0)}
    gone, kept = (f"model.layers.{block}.mlp.down_proj" for block in (removed, 1 - removed))
    assert matrices(variant, layers, 0, gone).after is None
    assert np.array_equal(*matrices(variant, layers, 0, kept))


def test_damaged_weights_are_not_shown_and_missing_ones_are_named():
    variant, layers = made("wanda@0.5")
    assert lacking_variants(variant, 0) == []
    file = cached_variant(variant.key) / "model.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(UserError, match="damaged"):
        matrices(variant, layers, 0, NAME)
    shutil.rmtree(cached_variant(variant.key))
    assert lacking_variants(variant, 0) == [variant]
    with pytest.raises(UserError, match="make the variant again"):
        matrices(variant, layers, 0, NAME)
