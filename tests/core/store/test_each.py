"""Results that are read one at a time, without the layers that no figure needs: their table is that of all results."""

import pytest
from pandas.testing import assert_frame_equal
from sqlalchemy import update

from benchmarks.dashboard.store import made_up
from core.base.paths import PROJECT
from core.findings.numbers.frame import tidy
from core.notation.chain import ChainDefaults, parse
from core.request.resolve import resolve_chain
from core.results import Variant
from core.specs import TextWindows, VariantSpec
from core.store.bundled import append_shipped, read_measured
from core.store.store import Store
from core.store.tables import measurements, variants
from tests.core.factories import KEY, LAYER, OTHER, make, perplexity

TEXT = TextWindows.parse("c4-sample:16x2048")


def chained(chain, *layers):
    """A result of a chain with a number, and these layers."""
    stages = resolve_chain(parse(chain), ChainDefaults(TEXT, TEXT, 0))
    key = VariantSpec(model="m", revision="r", stages=stages).key
    variant = Variant(key=key, model="m", revision="r", dtype="float32", stages=stages)
    return make(perplexity(20.0), layers=layers).model_copy(update={"variant": variant})


def test_bundled_and_artificial_rows_have_the_same_table(database):
    store, bundled = Store(), read_measured(PROJECT / "cached_results" / "measured").results
    for result in (*list(bundled.values())[::4], *made_up(8)):
        store.put(result)
    found = tidy(store.each())
    assert_frame_equal(found, tidy(store.results()))
    assert found["block_removed"].nunique() > 10 and found["kl"].notna().any()
    for model in {one.name for one in store.model_ids()}:
        of_model = [one for one in store.results() if one.variant.model == model]
        assert_frame_equal(tidy(store.each(model)), tidy(of_model))


def test_layers_are_read_where_the_removed_share_needs_them(bundled_folder):
    pruned, both = chained("sparsegpt@0.5", LAYER), chained("sparsegpt@0.5+gptq@4bit", LAYER)
    store = Store()
    for result in (pruned, both):
        store.put(result)
    assert [len(result.layers) for result in store.each()] == [0, 1]
    assert_frame_equal(tidy(store.each()), tidy(store.results()))
    assert_frame_equal(tidy(store.get_many([both.variant.key]).values()), tidy([both]))


def test_own_numbers_join_bundled_ones_in_the_order_of_all_results(bundled_folder, monkeypatch):
    monkeypatch.setattr("core.store.store.MOST_NAMED", 2)
    store = Store()
    append_shipped(make(perplexity(20.0), perplexity(30.0, window=128)), bundled_folder / "a.jsonl")
    append_shipped(make(perplexity(5.0), key=OTHER), bundled_folder / "a.jsonl")
    for place in (4, 3, 2, 1, 0):
        store.put(make(perplexity(float(place)), key=f"{place:064x}"))
    store.put(make(perplexity(21.0)))
    assert list(store.each()) == store.results()


@pytest.mark.parametrize("table", [variants, measurements])
def test_damaged_rows_are_named_and_the_others_stay(table, caplog):
    store = Store()
    store.put(make(perplexity(20.0), perplexity(30.0, window=128)))
    store.put(make(perplexity(5.0), key=OTHER))
    damage = {"footprint": "{}"} if table is variants else {"data": "{"}
    where = variants.c.key == KEY if table is variants else measurements.c.data.contains("2048")
    with store.begin() as connection:
        connection.execute(update(table).where(where).values(**damage))
    found = list(store.each())
    assert found == store.results() and len(caplog.records) == len(store.read().warnings) > 0
    assert_frame_equal(tidy(iter(found)), tidy(store.results()))
