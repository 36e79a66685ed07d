"""What every method of the registry must declare and hold to: each check raises `AssertionError` where one does not."""

import random
import re
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from torch import Tensor, nn

from core.amount import Amount, Pattern
from core.base.errors import UserError
from core.engine.stages import RUNNERS, reinstall_hooks
from core.evaluation.footprint import footprint
from core.methods.base import Method
from core.methods.fields import legend, unexplained_symbols
from core.methods.kinds import TableQuantMethod
from core.methods.linear import Compressed, Statistics, Target
from core.methods.structured.base import SliceMethod
from core.models.facts import load_shape as facts_of
from core.models.manifest import load_model_folder, save_model
from core.models.parts.blocks import select
from core.models.parts.constraints import constraint_of
from core.models.parts.grids import grid_of
from core.models.parts.sizes import embedding_tables
from core.notation.taxonomy import leaf_of
from core.registry import get_stage
from core.request.stages import build_stage
from core.specs import VariantSpec
from core.training.base import TrainPruneMethod
from tests.core.contract.ground import (
    BLOCKS,
    RATIO,
    Case,
    Ground,
    Made,
    counts,
    instead,
    left,
    linears,
    modules,
    same,
    slack,
)

DRAWS = 20  # texts of which one gives another result


def check_share(made: Made) -> None:
    """The requested share of the selected linears' weights is removed and reported, or all weights are rounded.

    Methods of embeddings shrink the embedding.
    """
    if "runtime" in made.method.leaves:
        check_hooked(made)
        return
    if made.method.bit_choices:
        check_rounded(made)
        return
    if made.method.factor_choices:
        check_factored(made)
        return
    dense = made.ground.dense
    chosen = select(linears(dense), made.stage.layers, BLOCKS)
    sizes = {linear.name: tuple(linear.weight.shape) for linear in chosen}
    total = sum(outputs * inputs for outputs, inputs in sizes.values())
    removed = left(dense) - left(made.model)
    asked = made.stage.ratio or 0
    assert abs(removed - asked * total) <= (slack(made, list(sizes.values())) if asked else 0)
    if not made.reports:
        assert not made.case.method.takes_amount
        return
    assert sorted(report.name for report in made.reports) == sorted(sizes)
    if not isinstance(made.method, SliceMethod):  # whose shortcuts count and are no linear's
        reported = sum(report.sparsity * sizes[report.name][0] * sizes[report.name][1] for report in made.reports)
        assert reported == pytest.approx(removed, abs=1e-3)
    if made.stage.ratio_kind == "sparsity":
        check_even(made, sizes)


def check_rounded(made: Made) -> None:
    """Rounded groups have at most as many values as their bits allow, all on the stored grid."""
    bits = made.stage.amount.bits
    on_tables = isinstance(made.method, TableQuantMethod)
    chosen = [] if on_tables else select(linears(made.model), made.stage.layers, BLOCKS)
    assert sorted(report.name for report in made.reports) == sorted(linear.name for linear in chosen)
    assert {report.bits for report in made.reports} <= {bits}
    rounded = [(linear.module, linear.weight) for linear in chosen]
    if on_tables:
        rounded = [(table, table.weight) for table in embedding_tables(made.model).values()]
        assert all(grid_of(linear.module) is None for linear in linears(made.model))
    for module, weight in rounded:
        grid = grid_of(module)
        assert grid is not None and grid.bits == bits
        assert torch.allclose(grid.nearest(weight), weight, atol=1e-6)
        for row in weight.reshape(-1, grid.group)[:20]:
            assert len(row.unique()) <= 2**bits


def check_hooked(made: Made) -> None:
    """Outputs change, and no weight and no module does."""
    assert same(made.model, made.ground.dense) and not made.reports
    assert not torch.equal(made.ground.outputs(made.model), made.ground.outputs(made.ground.dense))


def check_factored(made: Made) -> None:
    """The embedding keeps at most the requested share of its numbers and its width; other weights do not change."""
    before, after = made.ground.dense.get_input_embeddings().weight, made.model.get_input_embeddings()
    stored = sum(parameter.numel() for parameter in after.parameters())
    assert 0 < stored <= before.numel() / made.stage.amount.factor
    assert after(torch.arange(len(before))).shape == before.shape and not made.reports
    dense = made.ground.dense.state_dict()
    kept = {name: tensor for name, tensor in made.model.state_dict().items() if name in dense}
    removed = dense.keys() - kept.keys()  # the table, and a head that shares it
    assert "model.embed_tokens.weight" in removed and all(torch.equal(dense[name], before) for name in removed)
    assert all(torch.equal(tensor, dense[name]) for name, tensor in kept.items())


def check_even(made: Made, sizes: dict[str, tuple[int, int]]) -> None:
    """Shapes stay, and every linear loses its share unless all are ranked together."""
    now = {linear.name: linear.weight for linear in linears(made.model)}
    for name, (outputs, inputs) in sizes.items():
        assert now[name].shape == (outputs, inputs)
        zeros = int((now[name] == 0).sum())
        if getattr(made.method.parameters, "allocation", "uniform") == "uniform":
            assert abs(zeros - made.stage.ratio * outputs * inputs) <= slack(made, [(outputs, inputs)])


def check_pattern(model: nn.Module, pattern: Pattern) -> None:
    """Exactly N of every M consecutive inputs are there."""
    for linear in linears(model):
        kept = linear.weight.reshape(-1, pattern.group).count_nonzero(dim=1)
        assert (kept == pattern.kept).all(), linear.name


def check_seeds(ground: Ground, case: Case, first: Made) -> None:
    """One seed gives one result; another one matters where text is read or numbers are drawn, and only there."""
    check_draws(ground, case, first)
    other = ground.make(case, seed=1)
    if case.made.data_requirement == "nothing":
        assert first.stage.calibration is None
        assert (first.stage.seed is None) is not case.made.draws, f"{case}: the key must hold the seed only if it draws"
        assert same(first.model, other.model) is not case.made.draws, f"{case}: its seed must matter only if it draws"
        return
    short = ground.text.model_copy(update={"windows": 2, "window": 2})  # in which blocks may look otherwise
    others = (ground.make(case, seed=seed, calibration=short) for seed in range(DRAWS))
    assert not same(first.model, other.model) or any(not same(first.model, other.model) for other in others)


def check_draws(ground: Ground, case: Case, first: Made) -> None:
    """The result is the same whatever the state of the process' own random generators is."""
    for state in (1, 2):
        with torch.random.fork_rng():
            torch.manual_seed(state)
            random.seed(state)
            numpy.random.seed(state)
            again = ground.make(case)
        assert same(first.model, again.model), (
            f"{case} gives different results under one key: it draws random numbers without its seed. Set draws = True "
            "on the class and draw from its generator."
        )


def check_saved(made: Made, folder: Path) -> None:
    """What is saved comes back with equal outputs and an equal footprint."""
    save_model(made.model, folder)
    again = load_model_folder(folder, torch.float32)
    reinstall_hooks(again, [made.stage])
    assert torch.equal(made.ground.outputs(again), made.ground.outputs(made.model))
    assert footprint(again, *counts(made.ground.dense)) == footprint(made.model, *counts(made.ground.dense))


def check_recovered(made: Made, recovery: Case) -> None:
    """Every block linear learns; zeros, patterns, factors and shapes stay."""
    trained = made.ground.recover(made, recovery)
    assert modules(trained) == modules(made.model)
    for before, after in zip(linears(made.model), linears(trained), strict=True):
        assert before.weight.shape == after.weight.shape
        assert torch.equal(before.weight == 0, after.weight == 0), before.name
        assert not torch.equal(before.weight, after.weight), before.name
    if isinstance(made.stage.amount, Pattern):
        check_pattern(trained, made.stage.amount)
    assert footprint(trained, *counts(made.ground.dense)) == footprint(made.model, *counts(made.ground.dense))
    assert torch.isfinite(made.ground.outputs(trained)).all()


def check_reconstructed(made: Made, reconstruction: Case, folder: Path) -> None:
    """Each masked linear moves closer to its reference and keeps zeros, pattern and footprint; it can be saved."""
    done, losses = _watched(made, reconstruction)
    assert modules(done.model) == modules(made.model)
    assert len(losses) == len(done.reports) == len(linears(made.model))
    for before, after in zip(linears(made.model), linears(done.model), strict=True):
        assert torch.equal(before.weight == 0, after.weight == 0), before.name
        ours, theirs = constraint_of(before.module), constraint_of(after.module)
        assert ours and theirs and torch.equal(ours.bits, theirs.bits) and ours.pattern == theirs.pattern
        own, best = losses[before.name]
        assert best <= own * (1 + 1e-6), before.name
        # What a training has made is not to be undone.
        assert (best < own) is not isinstance(made.method, TrainPruneMethod), before.name
    if isinstance(made.stage.amount, Pattern):
        check_pattern(done.model, made.stage.amount)
    assert footprint(done.model, *counts(made.ground.dense)) == footprint(made.model, *counts(made.ground.dense))
    check_saved(done, folder)


def _watched(made: Made, reconstruction: Case) -> tuple[Made, dict[str, tuple[float, float]]]:
    """Return what a reconstruction makes, and by linear what it missed of the reference's outputs before and after."""
    kind = type(reconstruction.made)
    compress, losses = kind.compress, []

    def watching(self: Any, weight: Tensor, statistics: Statistics, target: Target, plan: Any = None) -> Compressed:
        assert target.ratio == 0 and target.pattern is None and target.reference is not None
        start = _loss(weight, statistics, target)
        result = compress(self, weight, statistics, target, plan)
        losses.append((start, _loss(result.weight, statistics, target)))
        return result

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kind, "compress", watching)
        done = made.ground.reconstruct(made, reconstruction)
    return done, dict(zip((report.name for report in done.reports), losses, strict=True))


def _loss(weight: Tensor, statistics: Statistics, target: Target) -> float:
    gap = (weight - target.reference).double()
    return ((gap @ statistics.gram.double()) * gap).sum().item()


def check_pattern_refused(ground: Ground, case: Case) -> None:
    """A method without patterns rejects them instead of ignoring them."""
    try:
        ground.make(case, pattern="2:4")
    except UserError as error:
        bits = [f"give {lowest}bit" for lowest in case.method.bit_choices[:1]]
        allowed = ("N:M", "leave ratio and pattern out", *bits, "give a factor")
        assert any(words in str(error) for words in allowed)
    else:
        raise AssertionError(f"{case} takes a pattern that it does not declare")


def check_declared(method: type[Method]) -> None:
    """Everything that form, command line and documentation are made from is there."""
    assert re.fullmatch(r"[a-z0-9-]+", method.name)
    assert get_stage(method.name) is method
    assert method.label.strip() == method.label != ""
    check_sentence(method.summary)
    check_explained(method)
    assert method.version >= 1
    assert (leaf_of(method) is None) == (method.family == "dense")
    if method.family != "dense":
        paper = method.citation
        assert re.match(r"https?://\S+$", paper.url) and paper.title and paper.authors and 1900 < paper.year < 2100
    for name, parameter in method.Parameters.model_fields.items():
        assert re.fullmatch(r"[a-z][a-z0-9_]*", name)
        assert parameter.description and parameter.description.endswith(".")
        assert not parameter.is_required(), name
    defaults = method.Parameters().model_dump()
    assert method.Parameters.model_validate(defaults, strict=True).model_dump() == defaults
    assert isinstance(method.create(method.parse_parameters({}), None), Method)


def check_explained(method: type[Method]) -> None:
    """The idea is two or three sentences; every formula can be rendered and all its symbols are explained."""
    sentences = re.split(r"(?<=\.) ", method.idea)
    assert len(sentences) in (2, 3), method.idea
    for sentence in sentences:
        check_sentence(sentence)
    assert isinstance(method.formulas, tuple) and method.formulas
    for formula in (*method.formulas, *method.symbols):
        check_formula(formula)
    assert unexplained_symbols(method) == []
    assert set(method.symbols) <= set(legend(method)), "a sign that no formula has"
    assert all(words and words.strip() == words and not words.endswith(".") for words in legend(method).values())


PAIRS = (("{", "}"), (r"\left", r"\right"), (r"\lVert", r"\rVert"), ("[", "]"), ("(", ")"))


def check_formula(latex: str) -> None:
    """Braces and other pairs of a formula are balanced, and nothing in it opens another mode."""
    assert latex.strip() == latex != ""
    assert "$" not in latex and "%" not in latex and r"\begin" not in latex
    plain = re.sub(r"\\[{}]", "", latex)
    for opening, closing in PAIRS:
        depth = 0
        for found in re.findall(rf"\\[A-Za-z]+|{re.escape(opening)}|{re.escape(closing)}", plain):
            if found not in (opening, closing):
                continue
            depth += 1 if found == opening else -1
            assert depth >= 0, latex
        assert depth == 0, latex
    assert not re.search(r"[\^_]\s*$|[\^_]\s*[\^_}]", plain), latex


def check_sentence(text: str) -> None:
    assert re.fullmatch(r"[A-Z][^\n]*[^.]\.", text) and not re.search(r"\. ", text), text


def check_of(case: Case, ground: Ground) -> None:
    """Whatever class carries it out declares what the registered one does; cost and memory follow the text."""
    method, facts = case.made, facts_of(ground.context.dense)
    for name in ("name", "label", "family", "summary", "idea", "formulas", "symbols", "citation", "version"):
        assert getattr(method, name) == getattr(case.method, name), name
    for name in ("takes_amount", "ratio_kind", "supports_nm", "Parameters"):
        assert getattr(method, name) == getattr(case.method, name), name
    assert method.kind in RUNNERS
    if method.data_requirement == "nothing":
        cost, memory = method.cost(facts, None), method.memory(facts, None, 4)
        assert memory > 0 and (cost > 0 or not method.takes_amount)
        return
    method = case.method.create(case.method.parse_parameters(case.settings), 0)  # with no limit of steps
    own = ground.text
    more = [own.model_copy(update={name: 3 * getattr(own, name)}) for name in ("windows", "window")]
    cost, memory = method.cost(facts, own), method.memory(facts, own, 4)
    assert cost > 0 and memory > 0
    assert all(method.cost(facts, text) > cost and method.memory(facts, text, 4) >= memory for text in more)
    if method.data_requirement == "calibration":
        assert any(method.memory(facts, text, 4) > memory for text in more)


def check_key(method: type[Method], ground: Ground) -> None:
    """A parameter given at its default, also as text, does not enter the key; a ratio and a version do."""

    def key(settings: dict, ratio: float = RATIO) -> str:
        pattern = instead(method, ratio)
        amount = ratio if method.takes_amount and not pattern else None
        text = ground.text.model_copy(update={"windows": 64})  # more than are held out
        stage = build_stage(method.name, Amount.from_columns(amount, pattern), settings=settings, calibration=text)
        return VariantSpec(model="m", revision="r", stages=(stage,)).key

    plain = key({})
    defaults = method.Parameters().model_dump()
    for name, value in defaults.items():
        assert key({name: value}) == plain, name
        assert value is None or key({name: str(value).lower()}) == plain, name
    assert key(defaults) == plain
    assert not method.takes_amount or key({}, RATIO / 2) != plain
