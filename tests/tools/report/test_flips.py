"""The table that compares divergence and perplexity as predictors of changed answers."""

import pytest

from core.results import KL
from tests.tools.report.test_significance import DENSE, pruned, variant
from tools.report.flips import LEAST, changed_answers, compared_chains, flips, predicted
from tools.report.points import MODEL

METHODS = ("wanda", "magnitude", "ria", "sparsegpt", "alps")


def compared(place, loss, right, kl):
    """Return a variant with a divergence; 30 answers of each task are right in the dense model."""
    method, ratio = METHODS[place % len(METHODS)], 0.1 + 0.1 * (place // len(METHODS))
    result, answers = variant(f"{place:x}", pruned(method, ratio=ratio), right=right, loss=loss)
    text = result.measurements[-1]
    more = text.model_copy(update={"metric": KL, "value": kl})
    return result.model_copy(update={"measurements": (*result.measurements, more)}), answers


def read(*made):
    kept = {result.variant.key: answers for result, answers in made}
    return [result for result, _ in made], lambda key, row: kept[key].get(row.identity)


@pytest.mark.full
def test_the_number_that_orders_the_flips_has_a_correlation_of_one():
    places = range(1, LEAST + 1)
    made = [compared(place, loss=3 + 0.01 * (place * 5 % 9), right=30 - place, kl=0.1 * place) for place in places]
    results, samples = read(DENSE, *made)
    found = predicted(results, samples, MODEL)
    assert [one.flips for one in found] == pytest.approx([place / 40 for place in places])
    assert [one.kl for one in found] == pytest.approx([0.1 * place for place in places])
    assert changed_answers(results, samples, found[3].chain) == "10 %"
    first, second = flips(results, samples).to_dict("records")
    assert (first["perplexity"], first["variants"]) == ("all", str(LEAST))
    divergence, perplexity, difference = list(first.values())[3:]
    assert divergence == "1.00 [1.00, 1.00]" and float(perplexity.split()[0]) < 1
    value, low, high = (float(part.strip("[],")) for part in difference.split())
    assert low <= value <= high and value == pytest.approx(1 - float(perplexity.split()[0]), abs=0.011)
    assert second["perplexity"] == "at most 1.5 times dense"
    assert compared_chains(results, MODEL).startswith("`alps@0.1`, `magnitude@0.1")
