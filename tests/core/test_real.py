"""The default model on real text: what pruning costs it, in the order that the papers find."""

import copy
import itertools

import pytest

from core.amount import Amount, Ratio
from core.data.corpora import default_corpora, open_corpus
from core.data.windows import calibration_windows, evaluation_windows, read_data
from core.evaluation.outcomes import summary
from core.evaluation.perplexity import perplexity
from core.models.catalogue import BY_ID
from core.models.sources import identify, load_model, load_tokenizer
from core.progress import silent
from core.request.stages import DEFAULT_MODEL, build_stage
from core.specs import TextWindows

pytestmark = pytest.mark.real
WINDOWS, WINDOW = 4, 512


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
    from tests.core.engine.applied import compress

    source, calibration, tokens, texts = material
    model = load_model(source)
    stage = build_stage(
        method, Amount.from_columns(ratio, None), settings=settings, calibration=calibration, layers=layers
    )
    compress(model, stage, tokens, "cpu", silent)
    return measured(model, texts)


@pytest.mark.full
def test_magnitude_loses_more_than_sparsegpt_in_a_third_of_the_blocks(material):
    dense = pruned(material, "dense")
    sparsegpt, magnitude = (pruned(material, method, 0.5, layers="0:9") for method in ("sparsegpt", "magnitude"))
    assert dense < sparsegpt < magnitude / 1.2


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
def test_structured_methods_rank_as_in_the_papers(material):
    slimllm, llm_pruner, magnitude = (
        pruned(material, method, 0.2) for method in ("slimllm", "llm-pruner", "neuron-magnitude")
    )
    assert slimllm < llm_pruner < magnitude


@pytest.mark.full
def test_svd_llm_error_matches_the_discarded_singular_values(material):
    import torch

    from core.methods.numerics.decompose import spectrum
    from core.methods.numerics.hessian import lower_factor
    from core.models.parts.blocks import find_blocks
    from tests.core.engine.applied import compress

    source, calibration, tokens, _ = material
    model, inputs = load_model(source), {}
    linears = [linear for linear in find_blocks(model).all_linears() if linear.block == 15]
    dense = {linear.name: linear.weight.clone() for linear in linears}

    def listen(name):
        return lambda module, args: inputs.setdefault(name, []).append(args[0][0].double())  # (L, in)

    hooks = [linear.module.register_forward_pre_hook(listen(linear.name)) for linear in linears]
    with torch.inference_mode():
        for window in tokens:
            model(window[None])
    for hook in hooks:
        hook.remove()
    stage = build_stage(
        "svd-llm", Ratio(0.2), settings={"true_sequential": False}, calibration=calibration, layers="15:15"
    )
    compress(model, stage, tokens, "cpu", silent)
    for name, weight in dense.items():
        rows = torch.cat(inputs[name])  # (tokens, in)
        right, left = (part.weight.double() for part in model.get_submodule(name))
        lost = (rows @ (weight.double() - left @ right).T).square().sum().item()
        values = spectrum(weight, lower_factor(rows.T @ rows)[0])
        assert lost == pytest.approx(values[len(right) :].sum().item(), rel=1e-6), name


@pytest.mark.full
@pytest.mark.parametrize(("method", "target"), [("sparsegpt", "0.5"), ("sparsegpt", "2:4"), ("svd-llm", "0.2")])
def test_each_recovery_preserves_masks_grids_and_factors(material, method, target, monkeypatch):
    import torch

    from core.context import Context, StageInput
    from core.engine.stages import apply
    from core.models.parts.blocks import find_blocks
    from core.models.parts.constraints import constraint_of
    from core.registry import RECOVERIES
    from core.training import loop as training
    from tests.core.engine.applied import compress

    falling = itertools.count(0, -1)  # so that what was learnt is kept, whatever so short a training was good for
    monkeypatch.setattr(training, "held_out_loss", lambda *_: float(next(falling)))
    source, calibration, tokens, _ = material
    model, tokenizer = load_model(source), load_tokenizer(source)
    stage = build_stage(method, Amount.parse(target), calibration=calibration, layers="0:1")
    compress(model, stage, tokens[:, :128], "cpu", silent)
    before = {linear.name: linear.weight for linear in find_blocks(model).all_linears()}
    kept = {linear.name: constraint_of(linear.module) for linear in find_blocks(model).all_linears()}
    assert sum(known is not None for known in kept.values()) == (14 if method == "sparsegpt" else 0)
    text = TextWindows(corpus=calibration.corpus, windows=6, window=48)
    for recovery in RECOVERIES:
        settings = {"steps": 2, "batch": 4, "held_out": 1, "learning_rate": 1e-4}
        if recovery.name == "distill-black":
            settings["answer_tokens"] = 8
        stage = build_stage(recovery.name, settings=settings, calibration=text)
        student = copy.deepcopy(model)
        context = Context(torch.device("cpu"), dense=source, tokenizer=tokenizer)
        assert apply(student, StageInput(stage, training_data=read_data(text)), context).training.best_step
        after = {linear.name: linear.weight for linear in find_blocks(student).all_linears()}
        assert before.keys() == after.keys()
        for name, weight in before.items():
            assert weight.shape == after[name].shape and not weight.equal(after[name]), name
            if known := kept[name]:
                zeros = known.zeros(weight.device)
                assert zeros.float().mean() == pytest.approx(0.5, abs=1e-4), name
                assert not weight[zeros].any() and not after[name][zeros].any(), name


def test_an_export_gives_the_same_outputs_in_llama_cpp(material, tmp_path):
    """FLAP leaves other heads, channels and biases in every block."""
    from core.engine.variants import describe
    from core.evaluation.footprint import footprint
    from core.models.parts.blocks import find_blocks
    from core.models.parts.reference import mark_dense
    from core.results import Result
    from core.specs import VariantSpec
    from tests.core.engine.applied import compress
    from tests.core.shipping.exported import exported

    source, calibration, tokens, _ = material
    model, tokenizer = load_model(source), load_tokenizer(source)
    mark_dense(find_blocks(model))
    stage = build_stage("flap", Ratio(0.2), calibration=calibration)
    compress(model, stage, tokens)
    spec = VariantSpec(model=source.id, revision=source.revision, stages=(stage,))
    result = Result(variant=describe(spec), footprint=footprint(model, 134_515_008, 106_168_320))
    check = exported(model, result, tokenizer, tmp_path / "out", "gguf", "F16")
    assert check.same_tokens and check.same_first == check.prompts and check.difference < 0.02


def test_default_model_weights_are_on_the_documented_grid(material):
    """HQQ with those bits and groups therefore changes nothing, and its results give the reason."""
    from core.methods.quantised.hqq import GIVEN_BACK
    from tests.core.engine.applied import compress

    source, _, tokens, _ = material
    bits, group = BY_ID[DEFAULT_MODEL].grid
    for size, notes in ((group, {GIVEN_BACK}), (2 * group, {None})):
        stage = build_stage("hqq", Amount.parse(f"{bits}bit"), settings={"group_size": size}, layers="0:1")
        assert {layer.note for layer in compress(load_model(source), stage, tokens)} == notes
