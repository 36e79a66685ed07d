"""The warning of intervals that rest on few windows or documents."""

import math

from core.analysis.few import few_words


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
