"""The warning of intervals that rest on few windows or documents."""

import math

import pandas

from core.findings.numbers.differences import NOTE
from core.findings.numbers.few import few_in, few_of, few_words
from core.statistics.correlations import WIDENED
from tests.core.factories import perplexity


def test_few_windows_and_documents_are_named():
    warning = few_words([("wikitext2", 7), ("wikitext2", 7), ("piqa", 49), ("ptb@12345678", 1)])
    assert warning == (
        "Intervals of fewer than 8 windows or 50 documents are unreliable: wikitext2 has 7 windows, "
        "piqa has 49 documents and ptb@12345678 has 1 window."
    )
    assert (
        few_words([("wikitext2", 8), ("piqa", 50), ("mean above chance", 350), ("piqa", 0), ("boolq", math.nan)]) == ""
    )
    assert few_words([(f"own{place}", 2) for place in range(5)]).endswith("own2 has 2 windows and 2 more have few.")


def test_texts_with_widened_intervals_are_named():
    names = ["wikitext2", "a.txt", "b.txt", "a.txt", "c.txt", "d.txt"]
    notes = [None if name == "wikitext2" else WIDENED for name in names]
    numbers = [
        perplexity(2.0, dataset=name, details={"interval": note} if note else {})
        for name, note in zip(names, notes, strict=True)
    ]
    frame = pandas.DataFrame({"dataset": names, "n": 16, NOTE: notes})
    sentence = "Intervals of a.txt, b.txt, c.txt and 1 other text are widened: no record of this text."
    assert few_of(numbers) == few_in(frame) == sentence
    assert few_of(numbers[:1]) == few_in(frame[:1]) == ""
    assert few_in(frame[1:2].assign(n=2)).endswith(
        "are unreliable: a.txt has 2 windows. Intervals of a.txt are widened: no record of this text."
    )
