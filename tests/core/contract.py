"""What every method of the registry must hold to: each check raises `AssertionError` where one does not."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest
import torch
from torch import Tensor, nn

from core.engine.stages import how
from core.errors import UserError
from core.evaluation.footprint import footprint
from core.methods.base import Family, LinearMethod, Method, Reads
from core.methods.lowrank.base import LowRank
from core.methods.structured.base import BlockMethod, HiddenMethod, RotationMethod, UnitMethod
from core.methods.unstructured.scored import Scored
from core.methods.unstructured.sparsegpt import SparseGPT
from core.models.blocks import find_blocks, select
from core.models.geometry import Geometry
from core.models.manifest import load_model_folder, save_model
from core.models.shape import shape
from core.models.units import find_units
from core.registry import get_stage
from core.request.stages import build_stage, parse_pattern
from core.specs import VariantSpec
from core.training.base import TrainedMethod
from tests.core.ground import BLOCKS, RATIO, Case, Ground, Made, counts, left, linears, modules, same

MIDDLE = f"1:{BLOCKS - 2}"  # layers


def _ranks(method: Method, unit: Geometry, sizes: list[tuple[int, int]]) -> float:
    return max(outputs + inputs for outputs, inputs in sizes)


def _channel(method: Method, unit: Geometry, sizes: list[tuple[int, int]]) -> float:
    return unit.channel_weights


def _rows(method: Method, unit: Geometry, sizes: list[tuple[int, int]]) -> float:
    return sum(outputs for outputs, _ in sizes) / 2


def _weights(method: Method, unit: Geometry, sizes: list[tuple[int, int]]) -> float:
    by_row = isinstance(method, Scored) and method.compared == "row"
    return _rows(method, unit, sizes) if by_row else len(sizes) / 2


def _trained(method: Method, unit: Geometry, sizes: list[tuple[int, int]]) -> float:
    return (_weights if method.ratio_kind == "sparsity" else _channel)(method, unit, sizes)


def _block(method: Method, unit: Geometry, sizes: list[tuple[int, int]]) -> float:
    return unit.weights / 2


def _hidden(method: Method, unit: Geometry, sizes: list[tuple[int, int]]) -> float:
    return BLOCKS * unit.weights / unit.hidden / 2


def _column(method: Method, unit: Geometry, sizes: list[tuple[int, int]]) -> float:
    return BLOCKS * (unit.weights / unit.hidden + 4 * unit.hidden) / 2  # two shortcuts of width x width a block


# How many weights the share may be missed by, given the method, a block and the sizes (out, in) of all linears.
SLACK = {
    LowRank: _ranks,
    Scored: _weights,
    SparseGPT: _weights,
    LinearMethod: _rows,
    UnitMethod: _channel,
    BlockMethod: _block,
    HiddenMethod: _hidden,
    RotationMethod: _column,
    TrainedMethod: _trained,
}


def slack(made: Made, sizes: list[tuple[int, int]]) -> float:
    method = made.method
    kind = next(base for base in type(method).__mro__ if base in SLACK)
    unit = find_units(find_blocks(made.ground.dense), 0).geometry
    return SLACK[kind](method, unit, sizes) + 1e-6


def check_share(made: Made) -> None:
    """The asked share of the selected linears' weights is gone, and the layer reports say so."""
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
    if not isinstance(made.method, RotationMethod):  # whose shortcuts count and are no linear's
        told = sum(report.sparsity * sizes[report.name][0] * sizes[report.name][1] for report in made.reports)
        assert told == pytest.approx(removed, abs=1e-3)
    if made.stage.ratio_kind == "sparsity":
        check_even(made, sizes)


def check_even(made: Made, sizes: dict[str, tuple[int, int]]) -> None:
    """Shapes stay, and every linear loses its share unless all are ranked together."""
    now = {linear.name: linear.weight for linear in linears(made.model)}
    for name, (outputs, inputs) in sizes.items():
        assert now[name].shape == (outputs, inputs)
        zeros = int((now[name] == 0).sum())
        if getattr(made.method.parameters, "scope", "layer") == "layer":
            assert abs(zeros - made.stage.ratio * outputs * inputs) <= slack(made, [(outputs, inputs)])


def check_layers(ground: Ground, case: Case) -> None:
    """What `layers` does not name stays as it is, bit for bit; what it names loses the share."""
    made = ground.make(case, layers=MIDDLE)
    check_share(made)
    before = ground.dense.state_dict()
    chosen = tuple(linear.name for linear in select(linears(ground.dense), MIDDLE, BLOCKS))
    for name, tensor in made.model.state_dict().items():
        assert name.startswith(chosen) or torch.equal(tensor, before[name]), name


def check_pattern(model: nn.Module, pattern: str) -> None:
    """Exactly N of every M consecutive inputs are there."""
    kept, group = parse_pattern(pattern)
    for linear in linears(model):
        assert (linear.weight.reshape(-1, group).count_nonzero(dim=1) == kept).all(), linear.name


def check_nothing(ground: Ground, case: Case) -> None:
    """At ratio 0 nothing changes, bit for bit."""
    made = ground.make(case, ratio=0.0)
    assert same(made.model, ground.dense)
    assert all(report.sparsity == 0 for report in made.reports)


def check_seeds(ground: Ground, case: Case, first: Made) -> None:
    """One seed gives one result; another one matters where text is read, and only there."""
    assert same(first.model, ground.make(case).model)
    other = ground.make(case, seed=1)
    if case.made.reads == "nothing":
        assert first.stage.seed is None and first.stage.calibration is None
        assert same(first.model, other.model)
        return
    short = ground.text.model_copy(update={"windows": 2, "window": 2})  # in which blocks may look otherwise
    others = (ground.make(case, seed=seed, calibration=short) for seed in range(20))
    assert not same(first.model, other.model) or any(not same(first.model, other.model) for other in others)


def check_saved(made: Made, folder: Path) -> None:
    """What is saved comes back with equal logits and an equal footprint."""
    save_model(made.model, folder)
    again = load_model_folder(folder, torch.float32)
    assert torch.equal(_logits(again, made), _logits(made.model, made))
    assert footprint(again, *counts(made.ground.dense)) == footprint(made.model, *counts(made.ground.dense))


@torch.no_grad()
def _logits(model: nn.Module, made: Made) -> Tensor:
    return model(made.ground.tokens).logits


def check_recovered(made: Made, recovery: Case) -> None:
    """Every block linear learns; zeros, patterns, factors and shapes stay."""
    trained = made.ground.recover(made, recovery)
    assert modules(trained) == modules(made.model)
    for before, after in zip(linears(made.model), linears(trained), strict=True):
        assert before.weight.shape == after.weight.shape
        assert torch.equal(before.weight == 0, after.weight == 0), before.name
        assert not torch.equal(before.weight, after.weight), before.name
    if made.stage.pattern:
        check_pattern(trained, made.stage.pattern)
    assert footprint(trained, *counts(made.ground.dense)) == footprint(made.model, *counts(made.ground.dense))
    assert torch.isfinite(_logits(trained, made)).all()


def check_declared(method: type[Method]) -> None:
    """Everything that form, command line and documentation are made from is there."""
    assert re.fullmatch(r"[a-z0-9-]+", method.name)
    assert get_stage(method.name) is method
    assert method.label.strip() == method.label != ""
    assert method.family in get_args(Family)
    check_sentence(method.summary)
    assert isinstance(method.version, int) and method.version >= 1
    if method.family != "dense":
        paper = method.citation
        assert re.match(r"https?://\S+$", paper.url) and paper.title and paper.authors and 1900 < paper.year < 2100
    for name, parameter in method.Parameters.model_fields.items():
        assert re.fullmatch(r"[a-z][a-z0-9_]*", name)
        assert parameter.description and parameter.description.endswith(".")
        assert not parameter.is_required(), name
    defaults = method.Parameters().model_dump()
    assert method.Parameters.model_validate(defaults, strict=True).model_dump() == defaults
    assert isinstance(method.of(method.parsed({}), None), Method)


def check_sentence(text: str) -> None:
    assert re.fullmatch(r"[A-Z][^\n]*[^.]\.", text) and not re.search(r"\. ", text), text


def check_of(case: Case, ground: Ground) -> None:
    """Whatever class carries it out declares what the registered one does; cost and memory follow the text."""
    method, facts = case.made, shape(ground.dense.config.to_dict())
    for name in ("name", "label", "family", "summary", "citation", "version", "takes_amount", "ratio_kind"):
        assert getattr(method, name) == getattr(case.method, name), name
    for name in ("by_layer", "patterns", "Parameters"):
        assert getattr(method, name) == getattr(case.method, name), name
    assert how(type(method))
    assert method.reads in get_args(Reads)
    if method.reads == "nothing":
        cost, memory = method.cost(facts, None), method.memory(facts, None, 4)
        assert memory > 0 and (cost > 0 or not method.takes_amount)
        return
    method = case.method.of(case.method.parsed(case.settings), 0)  # with no limit of steps
    own = ground.text
    more = [own.model_copy(update={name: 3 * getattr(own, name)}) for name in ("windows", "window")]
    cost, memory = method.cost(facts, own), method.memory(facts, own, 4)
    assert cost > 0 and memory > 0
    assert all(method.cost(facts, text) > cost and method.memory(facts, text, 4) >= memory for text in more)
    if method.reads == "calibration":
        assert any(method.memory(facts, text, 4) > memory for text in more)


def check_key(method: type[Method], ground: Ground) -> None:
    """A parameter given at its default, also as text, does not enter the key; a ratio and a version do."""

    def key(settings: dict, ratio: float = RATIO) -> str:
        amount = ratio if method.takes_amount else None
        text = ground.text.model_copy(update={"windows": 64})  # more than are held out
        stage = build_stage(method.name, amount, settings=settings, calibration=text)
        return VariantSpec(model="m", revision="r", stages=(stage,)).key

    plain = key({})
    defaults = method.Parameters().model_dump()
    for name, value in defaults.items():
        assert key({name: value}) == plain, name
        assert value is None or key({name: str(value).lower()}) == plain, name
    assert key(defaults) == plain
    assert not method.takes_amount or key({}, RATIO / 2) != plain


def check_pattern_refused(ground: Ground, case: Case) -> None:
    """A method without patterns says so instead of leaving them out."""
    with pytest.raises(UserError, match=r"N:M|leave ratio and pattern out"):
        ground.make(case, pattern="2:4")
