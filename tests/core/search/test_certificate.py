"""The certificate of a search: its winner and the rivals of that, on a text that no trial has read."""

from itertools import product

import pytest

from core.engine import runs
from core.notation.chain import format_chain
from core.search.certificate import (
    DENSE,
    RUNNER_UP,
    SEARCHED,
    STORED,
    WINNER,
    Certificate,
    Judged,
    Paired,
    best_stored,
    certify,
)
from core.search.question import prepare
from core.search.space import Restrictions
from core.search.trials import Tried
from core.shipping.formats import file_sizes
from core.store.samples import delete_samples
from core.store.store import Store
from tests.core.search.texts import JUDGE, compute, pilot_of, played, played_run, question

pytestmark = pytest.mark.usefixtures("tiny_texts")
CHAINS = "magnitude@0.5+rtn@2bit,on=embedding", "magnitude@0.6+rtn@2bit,on=embedding"
BOTH = {"methods": ("magnitude", "rtn")}


def test_the_certificate_judges_on_a_text_that_no_trial_has_read():
    store, prepared, pilot = pilot_of(question(minutes=4))
    earlier = played_run(prepared.judgement("rtn@2bit"), store)
    stored = best_stored(store, prepared)
    assert stored.variant.key == earlier.variant.key
    list(pilot.search(played))
    found = certify(prepared, pilot.ranked(), pilot.outcomes, stored, played, store)
    assert [one.role for one in found.rows] == [WINNER, RUNNER_UP, STORED, DENSE]
    winner, runner_up, rival, dense = found.rows
    assert [winner.chain, runner_up.chain] == [one.chain for one in pilot.ranked()[:2]]
    assert winner.perplexity < rival.perplexity and winner.ratio is None
    assert winner.megabytes <= prepared.question.max_mb
    numbers = store.get(winner.key).measurements
    assert winner.perplexity == next(row.value for row in numbers if row.protocol["window"] == JUDGE.window)
    assert dense.ratio.value == pytest.approx(winner.perplexity / dense.perplexity)
    assert dense.ratio.low < dense.ratio.value < dense.ratio.high
    assert found.fits and found.tried == 4 and found.eliminated == sum(one.eliminated for one in pilot.outcomes)
    sizes = prepared.space.sizes
    assert found.excluded == (sizes > prepared.question.most_bytes).sum() - 1  # without the dense model
    assert found.chains == sizes.size - 1 and not found.exhausted


def test_a_better_stored_variant_wins_unless_the_user_excludes_it():
    store = Store()
    prepared = prepare(question(**BOTH), store)
    worse = played_run(prepared.judgement("magnitude@0.7+rtn@2bit,on=embedding"), store)
    better = played_run(prepared.judgement("rtn@4bit+rtn@4bit,on=embedding"), store)
    tried = Tried(format_chain(worse.variant.stages), worse.variant.key, 1, 0.1, 0.0, 16, False)
    found = certify(prepared, [tried], [tried], better, played, store)
    roles = [(one.role, one.key) for one in found.rows[:2]]
    assert roles == [(WINNER, better.variant.key), (SEARCHED, worse.variant.key)]
    again = certify(prepared, [tried], [tried], worse, played, store)
    assert [one.role for one in again.rows] == [WINNER, DENSE]  # it is the winner itself
    assert best_stored(store, prepare(question(methods=("magnitude",)), store)) is None


def test_stored_numbers_without_samples_are_measured_again_from_the_cache():
    store = Store()
    prepared = prepare(question(**BOTH), store)
    before = [runs.run(prepared.judgement(chain), store) for chain in CHAINS]
    for key in (before[0].variant.key, before[1].variant.key, before[0].variant.dense_key):
        delete_samples(key)
    tried = [Tried(chain, one.variant.key, 1, 0.1, 0.0, 16, False) for chain, one in zip(CHAINS, before, strict=True)]
    found = certify(prepared, tried, tried, None, compute, store)
    assert [one.role for one in found.rows] == [WINNER, RUNNER_UP, DENSE]
    assert all(one.ratio.low <= one.ratio.value <= one.ratio.high for one in found.rows[1:])
    assert "may lack numbers" not in found.note()
    assert [store.get(one.variant.key).variant.stage_runs for one in before] == [
        one.variant.stage_runs for one in before
    ]


@pytest.mark.parametrize(("documents", "lacks"), product([100, 0], ["accuracy", "ratio", None]))
def test_a_certificate_says_why_a_number_is_missing(documents, lacks):
    known = {"key": "k", "megabytes": 1.0, "perplexity": 20.0, "accuracy": 0.4}
    pairs = dict.fromkeys(("ratio", "gain"), Paired(value=1.0, low=0.9, high=1.1))
    rows = Judged(role=WINNER, chain="rtn@4bit", **known), Judged(role=STORED, chain="dense", **known, **pairs)
    if lacks:
        rows = rows[0], rows[1].model_copy(update={lacks: None})
    counts = {"judge": "text.txt@64:16", "tried": 1, "eliminated": 0, "excluded": 0, "chains": 2, "fits": True}
    found = Certificate(rows=rows, documents=documents, tasks=("piqa",) if documents else (), **counts)
    assert "unadjusted" in found.note() and "means over all stored texts" in found.note()
    assert "These intervals are widened: no record of this text." in found.note()
    assert ("it may lack numbers" in found.note()) == (lacks == "ratio" or (lacks == "accuracy" and documents > 0))
    last = found.table()[-1]
    assert last["Winner over it"] == ("" if lacks == "ratio" else "1 [0.9, 1.1]")
    assert ("Above chance (points)" in last, last.get("Winner minus it")) == (
        documents > 0,
        "+100.0 [+90.0, +110.0]" if documents else None,
    )


def test_a_stored_variant_that_the_program_does_not_load_is_no_answer():
    store, asked = Store(), question(0.16, methods=("svd", "rtn"))
    prepared = prepare(asked, store)
    stored = played_run(prepared.judgement("svd@0.5"), store)
    assert best_stored(store, prepared).variant.key == stored.variant.key
    for_llama = asked.model_copy(update={"restrictions": Restrictions(methods=("svd", "rtn"), only="gguf")})
    assert best_stored(store, prepare(for_llama, store)) is None


def test_with_a_format_sizes_are_those_of_the_file():
    store, chain = Store(), "rtn@2bit+rtn@8bit,on=embedding"
    unbounded = question(1.0, only="gguf")
    result = played_run(prepare(unbounded, store).judgement(chain), store)
    least = next(one.bytes for one in file_sizes(result.variant, result.counted) if one.format == "GGUF")
    assert 0.99 * least > result.counted.packed_bytes
    smaller = prepare(unbounded.model_copy(update={"max_mb": 0.99 * least / 1e6}), store)
    assert best_stored(store, smaller) is None
    larger = prepare(question(1.001 * least / 1e6, only="gguf"), store)
    assert best_stored(store, larger) is not None
    tried = Tried(chain, result.variant.key, 1, 0.1, 0.0, 16, False)
    found = certify(larger, [tried], [tried], None, played, store)
    assert found.table()[0]["GGUF MB"] == pytest.approx(least / 1e6)
    none = certify(larger, [], [], None, played, store)
    assert none.stored[0].row(none.size_title)["GGUF MB"] == pytest.approx(least / 1e6)
    old = found.rows[0].model_dump(mode="json")
    old["packed_mb"] = old.pop("megabytes")
    assert Judged.model_validate(old) == found.rows[0]


def test_without_a_measured_chain_nothing_wins_and_the_stored_ones_on_each_text_are_listed():
    store = Store()
    prepared = prepare(question(**BOTH), store)
    none = certify(prepared, [], [], None, played, store)
    assert none.rows == none.stored == () and none.failure("0.1 MB").endswith("fits either, on any text.")
    values = {chain: played_run(prepared.run(chain, 4), store).measurements[0].value for chain in CHAINS}
    played_run(prepared.judgement(CHAINS[1]), store)
    found = certify(prepared, [], [], best_stored(store, prepared), played, store)
    assert found.rows == () and not found.fits and "these stored variants fit" in found.failure("0.1 MB")
    judge, read = str(prepared.judge), str(prepared.text.model_copy(update={"windows": 4}))
    best_first = sorted(values, key=values.__getitem__)  # their order depends on the model's key
    expected = [(judge, CHAINS[1]), *((read, chain) for chain in best_first)]
    assert [(one.text, one.chain) for one in found.stored] == expected
    first, dense = (
        store.get(key).measurements for key in (found.stored[0].key, store.get(found.stored[0].key).variant.dense_key)
    )
    value, base = (next(row.value for row in rows if row.protocol["window"] == JUDGE.window) for rows in (first, dense))
    assert found.stored[0].perplexity == value and found.stored[0].times_dense == pytest.approx(value / base)
    assert Certificate.model_validate(found.model_dump(mode="json")) == found


@pytest.mark.parametrize(("why", "words"), [("stopped", "was stopped before"), ("exhausted", "could be measured")])
def test_a_failure_names_its_reason(why, words):
    store = Store()
    prepared = prepare(question(**BOTH), store)
    assert words in certify(prepared, [], [], None, played, store, **{why: True}).failure("0.1 MB")
