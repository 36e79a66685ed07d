"""The default model on real text: its bundled numbers, and what pruning costs it in the order that the papers find."""

import pytest

from core.amount import Amount
from core.base.progress import silent
from core.data.corpora import default_corpora, open_corpus
from core.data.windows import calibration_windows, evaluation_windows, read_data
from core.evaluation.outcomes import summary
from core.evaluation.perplexity import perplexity
from core.models.catalogue import BY_ID
from core.models.sources import identify, load_model, load_tokenizer
from core.request.complete import complete
from core.request.expected.size import size_of_variant
from core.request.stages import DEFAULT_MODEL, build_stage
from core.shipping.formats import find_format
from core.specs import TextWindows
from core.store.bundled import read_measured
from core.store.samples import read_samples
from tests.core.engine.applied import compress

pytestmark = pytest.mark.real
WINDOWS, WINDOW = 4, 512
QUANTISED = "rtn@3bit+rtn@4bit,on=embedding"


@pytest.fixture(scope="module")
def material():
    source = identify(DEFAULT_MODEL)
    tokenizer = load_tokenizer(source)
    evaluation, corpus = default_corpora()
    calibration = TextWindows(corpus=corpus, windows=WINDOWS, window=WINDOW)
    return (
        source,
        calibration,
        calibration_windows(read_data(calibration), tokenizer, 0),
        evaluation_windows(open_corpus(evaluation), tokenizer, WINDOW, WINDOWS),
    )


def measured(model, texts):
    (reading,) = perplexity(model, {"text": texts}, silent)
    return summary("perplexity", reading.samples)["value"]


def pruned(material, method, ratio=None, layers=None, **settings):
    source, calibration, tokens, texts = material
    model = load_model(source)
    stage = build_stage(
        method, Amount.from_columns(ratio, None), settings=settings, calibration=calibration, layers=layers
    )
    compress(model, stage, tokens, "cpu", silent)
    return measured(model, texts)


@pytest.mark.parametrize("chain", [pytest.param("dense", marks=pytest.mark.full), "magnitude@0.5"])
def test_the_first_windows_have_their_bundled_losses(chain):
    variant = complete(DEFAULT_MODEL, chain).variant
    (row,) = (
        one
        for one in read_measured().results[variant.key].measurements
        if (one.dataset, one.metric, one.protocol.get("window")) == ("wikitext2", "perplexity", 128)
    )
    source, count = identify(DEFAULT_MODEL), 8
    texts = evaluation_windows(open_corpus(row.dataset), load_tokenizer(source), 128, count)
    model = load_model(source)
    for stage in variant.stages:
        compress(model, stage, texts)  # neither reads calibration data
    (reading,) = perplexity(model, {"text": texts}, silent)
    stored = read_samples(variant.key, row)["perplexity"][:count]
    assert reading.samples["perplexity"].to_numpy() == pytest.approx(stored.to_numpy(), rel=1e-4)


@pytest.mark.parametrize("name", ["gguf", "compressed-tensors", pytest.param("huggingface", marks=pytest.mark.full)])
def test_the_stated_size_is_that_of_the_written_file(name, tmp_path):
    variant, source, form = complete(DEFAULT_MODEL, QUANTISED).variant, identify(DEFAULT_MODEL), find_format(name)
    model, kind = load_model(source), form.default(variant)
    for stage in variant.stages:
        compress(model, stage, None)  # neither reads calibration data
    form.write(model, load_tokenizer(source), source, tmp_path, kind, lambda *_: None)
    written = sum(file.stat().st_size for file in tmp_path.iterdir())
    stated = form.size(variant, source, size_of_variant(variant), kind)
    assert stated == pytest.approx(written, rel=0.002)
    elsewhere = source.model_copy(update={"folder": None})  # a machine without the model
    assert form.size(variant, elsewhere, size_of_variant(variant), kind) == stated


@pytest.mark.full
def test_magnitude_loses_more_than_sparsegpt_in_a_third_of_the_blocks(material):
    dense = pruned(material, "dense")
    sparsegpt, magnitude = (pruned(material, method, 0.5, layers="0:9") for method in ("sparsegpt", "magnitude"))
    assert dense < sparsegpt < magnitude / 1.2


@pytest.mark.full
def test_reference_form_agrees_with_an_independent_two_pass_computation(material):
    """On the first blocks only: over all of them differences of rounding grow until other weights are chosen."""
    from benchmarks.methods.two_pass import prune_two_pass

    source, _, tokens, texts = material
    model = load_model(source)
    prune_two_pass(model, tokens, 0.5, count=2)
    independent = measured(model, texts)
    ours = pruned(material, "sparsegpt", 0.5, layers="0:1", true_sequential=False)
    assert ours == pytest.approx(independent, rel=0.01)


@pytest.mark.full
def test_default_model_weights_are_on_the_documented_grid(material):
    """HQQ with those bits and groups therefore changes nothing, and its results give the reason."""
    from core.methods.quantised.hqq import GIVEN_BACK

    source, _, tokens, _ = material
    bits, group = BY_ID[DEFAULT_MODEL].grid
    for size, notes in ((group, {GIVEN_BACK}), (2 * group, {None})):
        stage = build_stage("hqq", Amount.parse(f"{bits}bit"), settings={"group_size": size}, layers="0:1")
        assert {layer.note for layer in compress(load_model(source), stage, tokens)} == notes
