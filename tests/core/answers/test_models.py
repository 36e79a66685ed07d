"""The models in memory, and their bounds."""

import weakref

import pytest

from core.answers.models import Loaded, LoadedModels
from core.base.errors import UserError
from tests.core.answers.specs import SIZE, variant

RATIOS = [0.1, 0.2, 0.3, 0.4, 0.5]


class Model:
    """What stands for a model."""


def held(loads=None, **bounds):
    """Return models whose loads are counted."""

    def load(spec):
        if loads is not None:
            loads.append(spec.stages[0].ratio)
        return Loaded(Model(), None, SIZE)

    return LoadedModels(load, **({"most_bytes": 100 * SIZE} | bounds))


def ratios(models):
    known = {variant(ratio).key: ratio for ratio in RATIOS}
    return [known[key] for key in models.keys]


def test_a_model_is_loaded_once_and_the_longest_unused_one_leaves():
    loads = []
    models = held(loads, most=2)
    for ratio in (0.1, 0.2, 0.1, 0.3, 0.1):
        models.get(variant(ratio))
        assert len(models.keys) <= 2
    assert loads == [0.1, 0.2, 0.3] and ratios(models) == [0.3, 0.1]
    models.free(models.keys)
    assert models.keys == []


@pytest.mark.parametrize(("most_bytes", "kept"), [(3 * SIZE, RATIOS[-3:]), (SIZE // 2, RATIOS[-1:])])
def test_models_together_stay_within_their_bytes_and_a_freed_one_leaves_the_memory(most_bytes, kept):
    models = held(most=5, most_bytes=most_bytes)
    first = weakref.ref(models.get(variant(RATIOS[0])).model)
    assert first() is not None
    for ratio in RATIOS[1:]:
        models.get(variant(ratio))
    assert ratios(models) == kept and first() is None  # a model larger than the bound is held alone


def test_a_model_in_use_stays_and_room_is_known_before_loading():
    models = held(most=2)
    used = {variant(0.1).key}
    for ratio in RATIOS[:3]:
        models.get(variant(ratio), used)
    assert ratios(models) == [0.1, 0.3]
    assert models.has_room(used) and not models.has_room(models.keys)
    narrow = held(most_bytes=SIZE)
    narrow.get(variant(0.1))
    assert narrow.has_room([]) and not narrow.has_room(used)


def test_a_model_that_cannot_be_loaded_is_not_held():
    def load(spec):
        raise UserError("It is not here.")

    models = LoadedModels(load)
    with pytest.raises(UserError, match="not here"):
        models.get(variant(0.1))
    assert models.keys == []
