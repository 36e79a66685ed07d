"""Made-up outcomes of two variants, document by document."""

import pandas as pd

from core.findings.numbers.paired import difference


def frame(values, metric="acc", **columns):
    values = list(values)
    given = {"doc_id": range(len(values)), "target": [i % 2 for i in range(len(values))], metric: values}
    return pd.DataFrame(given | columns)


def windows(means, **columns):
    return pd.DataFrame({"doc_id": range(len(means)), "perplexity": means} | columns)


def answers(rng, n, gains=0.0):
    """Two variants' right answers (n,), alike where a document is easy or hard for both."""
    easy = rng.beta(1.5, 1.5, n) * (1 - gains)
    return (rng.random(n) < easy).astype(float), (rng.random(n) < easy + gains).astype(float)


def losses(rng, n, worse=0.0):
    """Two variants' log-likelihoods (n,), in which the text varies more than the variants do."""
    text = rng.normal(-3, 1, n)
    return text + rng.normal(0, 0.1, n), text + rng.normal(0, 0.1, n) - worse


def compared(metric, pair):
    make = windows if metric == "perplexity" else frame
    return difference(metric, make(pair[0]), make(pair[1]))
