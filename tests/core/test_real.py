"""The default model on real text: what pruning costs it, in the order that the papers find."""

import pytest

from core.data.corpora import calibration_windows, default_corpora, evaluation_windows
from core.evaluation.perplexity import perplexity
from core.models.sources import identify, load_model, load_tokenizer
from core.progress import silent
from core.requests import DEFAULT_MODEL, build_stage
from core.specs import Calibration

pytestmark = pytest.mark.real
WINDOWS, WINDOW = 4, 512


@pytest.fixture(scope="module")
def material():
    source = identify(DEFAULT_MODEL)
    tokenizer = load_tokenizer(source)
    evaluation, corpus = default_corpora()
    calibration = Calibration(corpus=corpus, windows=WINDOWS, window=WINDOW)
    return (
        source,
        calibration,
        calibration_windows(calibration, tokenizer, 0),
        evaluation_windows(evaluation, tokenizer, WINDOW, WINDOWS),
    )


def pruned(material, method, ratio=None, layers=None, **settings):
    from core.compress import compress

    source, calibration, tokens, texts = material
    model = load_model(source)
    stage = build_stage(method, ratio, settings=settings, calibration=calibration, layers=layers)
    compress(model, stage, tokens, "cpu", silent)
    return perplexity(model, texts, silent)[0]


def test_magnitude_collapses_where_sparsegpt_does_not(material):
    dense = pruned(material, "dense")
    sparsegpt, magnitude = pruned(material, "sparsegpt", 0.5), pruned(material, "magnitude", 0.5)
    assert dense < sparsegpt < magnitude / 2


def test_reference_form_agrees_with_an_independent_two_pass_computation(material):
    """On the first blocks only: over all of them differences of rounding grow until other weights are chosen."""
    from benchmarks.two_pass import prune_two_pass

    source, _, tokens, texts = material
    model = load_model(source)
    prune_two_pass(model, tokens, 0.5, count=8)
    independent = perplexity(model, texts, silent)[0]
    ours = pruned(material, "sparsegpt", 0.5, layers="0:7", true_sequential=False)
    assert ours == pytest.approx(independent, rel=0.01)


def test_structured_methods_keep_the_papers_order(material):
    slimllm, llm_pruner, magnitude = (
        pruned(material, method, 0.2) for method in ("slimllm", "llm-pruner", "neuron-magnitude")
    )
    assert slimllm < llm_pruner < magnitude
