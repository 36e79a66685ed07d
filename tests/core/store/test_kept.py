"""What is kept of a model's results: all of it as the store has it now, and nothing made twice without need."""

import pytest
from sqlalchemy import update

from core.specs import ModelId
from core.store.bundled import append_shipped
from core.store.row_cache import MOST, RowCache
from core.store.store import Store
from core.store.tables import variants
from tests.core.factories import KEY, LAYER, OTHER, make, perplexity


@pytest.fixture
def kept():
    """(a store, what is kept of its results as they are, the keys of which something was made)"""
    store, made = Store(), []

    def make_of(result, own):
        made.append(result.variant.key)
        return result, own

    return store, RowCache(store, make_of), made


def without_layers(store):
    return {key: result.model_copy(update={"layers": ()}) for key, result in store.read().results.items()}


def results(known):
    return {key: result for key, (result, _) in known.values.items()}


def test_only_changed_rows_are_rebuilt(kept):
    store, known, made = kept
    store.put(make(perplexity(20.0), layers=(LAYER,)))
    store.put(make(perplexity(5.0), key=OTHER))
    assert results(known.of("m")) == without_layers(store) and made == [KEY, OTHER]
    assert known.of("m") is known.of("m")
    store.put(make(perplexity(21.0)))
    assert results(known.of("m")) == without_layers(store) and made == [KEY, OTHER, KEY]
    assert list(known.of("m").values) == list(store.read().results) == [OTHER, KEY]
    store.delete(OTHER)
    assert results(known.of("m")) == without_layers(store) and made == [KEY, OTHER, KEY]


def test_bundled_numbers_are_included_and_marked(kept, bundled_folder):
    store, known, _ = kept
    append_shipped(make(perplexity(20.0), perplexity(30.0, window=128)), bundled_folder / "a.jsonl")
    append_shipped(make(perplexity(5.0), key=OTHER), bundled_folder / "a.jsonl")
    store.put(make(perplexity(21.0)))
    assert results(known.of("m")) == without_layers(store)
    assert {key: own for key, (_, own) in known.of("m").values.items()} == {KEY: True, OTHER: False}
    append_shipped(make(perplexity(31.0, window=128)), bundled_folder / "b.jsonl")
    assert results(known.of("m")) == without_layers(store)
    assert [row.value for row in results(known.of("m"))[KEY].measurements] == [21.0, 31.0]


def test_unusable_rows_are_named_until_they_are_removed(kept):
    store, known, made = kept
    store.put(make(perplexity(20.0)))
    store.put(make(perplexity(5.0), key=OTHER))
    with store.begin() as connection:
        connection.execute(update(variants).where(variants.c.key == KEY).values(footprint="{}"))
    assert known.of("m").warnings == store.read().warnings != () and made == [OTHER]
    store.put(make(perplexity(6.0), key=OTHER))
    assert known.of("m").warnings == store.read().warnings != ()
    store.put(make(perplexity(20.0)))
    assert known.of("m").warnings == () and results(known.of("m")) == without_layers(store)


def test_models_are_cached_separately_and_only_a_few(kept):
    store, known, made = kept
    for place in range(MOST + 1):
        store.put(make(perplexity(20.0), key=f"{place:064x}", model=f"m{place}"))
        assert len(known.of(f"m{place}").values) == 1
    assert len(made) == MOST + 1
    known.of(f"m{MOST}")
    assert len(made) == MOST + 1
    known.of("m0")
    assert len(made) == MOST + 2
    assert known.of("none").values == {}


def test_models_are_sorted_by_their_number_of_variants(bundled_folder):
    store = Store()
    assert store.model_ids() == []
    append_shipped(make(perplexity(20.0)), bundled_folder / "a.jsonl")
    store.put(make(perplexity(20.0)))
    for key in ("1" * 64, "2" * 64):
        store.put(make(perplexity(20.0), key=key, model="larger"))
    assert store.model_ids() == [ModelId("larger", "r"), ModelId("m", "r")]


def test_selected_results_are_read_without_layers(bundled_folder, monkeypatch):
    monkeypatch.setattr("core.store.store.MOST_NAMED", 3)
    store = Store()
    append_shipped(make(perplexity(20.0), perplexity(30.0, window=128)), bundled_folder / "a.jsonl")
    store.put(make(perplexity(21.0)))
    for place in range(6):  # more than one query requests
        store.put(make(perplexity(float(place)), layers=(LAYER,), key=f"{place:064x}"))
    keys = [KEY, *(f"{place:064x}" for place in range(5)), "f" * 64]
    found = without_layers(store)
    assert store.get_many(keys) == {key: found[key] for key in keys[:-1]}
