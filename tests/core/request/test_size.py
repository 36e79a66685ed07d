"""Predicted sizes against those that were counted on measured variants."""

from collections import Counter

import pytest

from core.models.catalogue import BY_ID
from core.models.shape import shape_from_config
from core.models.sources import identify
from core.notation.chain import ChainDefaults, format_chain, parse
from core.request.expected.size import predicted_size, size_sentence
from core.request.resolve import resolve_chain
from core.specs import TextWindows, VariantSpec
from core.store.bundled import read_measured

CLOSE = 3e-3  # of the size: the dense weights have a few zeros, and ratios are rounded
BOUND = 0.01
UNKNOWN = ("slicegpt", "layers=")  # whose size does not follow from what they declare


def bundled():
    """Yield the chain, the predicted size and the counted footprint of each measured variant of the catalogue."""
    for result in read_measured().results.values():
        variant = result.variant
        if variant.model in BY_ID and not variant.is_external and result.footprint:
            shape = shape_from_config(BY_ID[variant.model].config)
            yield format_chain(variant.stages), predicted_size(shape, variant.stages), result.footprint


def test_the_size_of_every_bundled_variant_is_predicted():
    count = Counter()
    for chain, size, counted in bundled():
        if size is None:
            assert any(one in chain for one in UNKNOWN), chain
            continue
        error = size.packed_bytes / counted.packed_bytes - 1
        count[size.exact] += 1
        assert -CLOSE < error < (CLOSE if size.exact else BOUND), chain
        assert size.model_parameters == pytest.approx(counted.model_parameters, rel=CLOSE if size.exact else BOUND), (
            chain
        )
        assert size.bits_per_weight == pytest.approx(counted.bits_per_weight, rel=BOUND), chain
    assert count[True] > 20 and count[False] > 20


def size_of(chain, model="smollm2-135m"):
    text = TextWindows(corpus="any", windows=8, window=64)
    stages = resolve_chain(parse(chain), ChainDefaults(text, text, 0))
    return predicted_size(shape_from_config(BY_ID[model].config), stages)


def test_each_layout_of_a_matrix_has_its_own_size():
    shape = shape_from_config(BY_ID["smollm2-135m"].config)
    dense, weights = size_of("dense"), shape.block_weights
    assert dense.model_parameters == shape.parameters and dense.packed_bytes == 2 * shape.parameters
    assert size_of("wanda@0.05").packed_bytes == dense.packed_bytes  # a bitmask would take more
    assert size_of("wanda@2:4").packed_bytes == dense.packed_bytes - weights * (16 - 9) // 8
    assert size_of("wanda@4:8").packed_bytes == dense.packed_bytes - weights * (16 - 9) // 8  # by a bitmask
    four = size_of("gptq@4bit")
    assert four.bits_per_weight == 4 + 16 / 64
    assert size_of("gptq@4bit,symmetric=false").bits_per_weight == 4 + (16 + 4) / 64
    assert size_of("hqq@4bit").bits_per_weight == 4 + (16 + 16) / 64
    assert size_of("sparsegpt@0.5,bits=4").bits_per_weight == 1 + 4 / 2 + 16 / 64
    assert size_of("sparsegpt@0.5+gptq@4bit").bits_per_weight == 1 + 4 / 2 + 16 / 64
    tables = size_of("gptq@4bit+rtn@8bit,on=embedding")
    assert four.packed_bytes - tables.packed_bytes == shape.vocabulary * shape.hidden * (16 - 8 - 16 / 64) / 8
    assert size_of("rotate+rtn@4bit").model_parameters == shape.parameters + 2 * shape.hidden**2


def test_sizes_of_mean_bits_factors_and_cumulative_ratios():
    assert not size_of("gptq@3.5bit").exact and size_of("gptq@3.5bit").words().startswith("at most ")
    assert not size_of("tensor-train@2x").exact
    assert size_of("tensor-train@2x,head=explicit").packed_bytes > size_of("dense").packed_bytes
    assert size_of("magnitude@0.3+wanda@0.6") == size_of("wanda@0.6")
    both = size_of("slimllm@0.2+wanda@0.6")
    assert both.model_parameters == size_of("slimllm@0.2").model_parameters
    assert both.packed_bytes < size_of("wanda@0.6").packed_bytes  # fewer weights need a bit in the mask


def test_a_sentence_names_the_size_and_the_share_of_dense():
    text = TextWindows(corpus="any", windows=8, window=64)
    stages = resolve_chain(parse("gptq@4bit+rtn@8bit,on=embedding"), ChainDefaults(text, None, 0))
    revision = identify("smollm2-135m").revision
    variant = VariantSpec(model="smollm2-135m", revision=revision, stages=stages)
    assert size_sentence(variant) == "The packed size is 85.7 MB, 32 % of the dense model's 269 MB."
    assert size_sentence(variant.prefixes[0]) == ""
