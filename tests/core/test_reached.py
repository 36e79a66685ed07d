"""What is told where a variant lost another share than was asked for."""

import pytest

from core.reached import missed, share
from core.results import LayerReport
from core.specs import Stage
from core.store.shipped import read_measured
from tests.core.made import make


def layer(name="model.layers.0.q_proj", block=0, shape=(64, 64), sparsity=0.5):
    return LayerReport(name=name, block=block, role="q", shape=shape, sparsity=sparsity)


def made(method, ratio, zeros, layers=(), selected=None):
    return make(zeros=zeros, layers=layers, stages=(Stage(method=method, ratio=ratio, layers=selected),))


@pytest.mark.parametrize(
    ("method", "ratio", "zeros", "layers", "told"),
    [
        ("wanda", 0.5, 50, (), None),
        ("wanda", 0.5, 49, (), "49.0% of the block weights were removed, not the 50.0% that were asked for."),
        ("wanda", 0.5, 49, (layer(shape=(64, 32)),), None),  # half an input of 32
        ("svd", 0.999, 97, (layer(),), "97.0% of the block weights were removed, not the 99.9% that were asked for."),
        (
            "shortgpt",
            0.9,
            50,
            (layer(block=0), layer(block=1)),
            "50.0% of the block weights were removed, not the 90.0%",
        ),
        ("shortgpt", 0.3, 50, (layer(block=0), layer(block=1)), None),  # half a block of two
        ("of another version", 0.5, 30, (), "30.0% of the block weights"),
        ("dense", None, 0, (), None),
    ],
)
def test_a_difference_that_rounding_does_not_explain_is_told(method, ratio, zeros, layers, told):
    found = missed(made(method, ratio, zeros, layers))
    assert found is None if told is None else found.startswith(told)


def test_the_ratio_of_selected_layers_is_theirs():
    half = (layer(sparsity=0.5), layer(sparsity=0.5))
    assert missed(made("magnitude", 0.5, 10, half, selected="0:0")) is None
    assert missed(made("magnitude", 0.7, 10, half, selected="0:0")).startswith("50.0% of")


def test_nothing_that_ships_missed_its_ratio():
    assert len(read_measured().results) > 50
    assert [missed(result) for result in read_measured().results.values() if missed(result)] == []


def test_no_share_is_rounded_up_to_all():
    assert [share(value) for value in (0, 0.12345, 0.9994, 0.99999, 1)] == ["0.0%", "12.3%", "99.9%", "99.9%", "100.0%"]
