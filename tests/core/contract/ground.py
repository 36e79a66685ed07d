"""What the contract of every method is checked on: a tiny model that lies in a folder, its text, and all settings."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from core.amount import Amount
from core.context import Context, StageInput
from core.data.windows import calibration_windows, read_data
from core.engine.stages import apply
from core.methods.base import Method
from core.methods.linear import LinearMethod
from core.methods.lowrank.base import LowRank
from core.methods.structured.base import BlockRemovalMethod, HiddenSizeMethod, SliceMethod, UnitMethod
from core.methods.structured.experts import ExpertMethod
from core.methods.terms import Kind, Reads, Trait
from core.methods.unstructured.alps import ALPS
from core.methods.unstructured.base import ScoreMethod
from core.methods.unstructured.obs import OBS
from core.methods.unstructured.sparsegpt import SparseGPT
from core.models.manifest import shapes_of
from core.models.parts.blocks import Linear, find_blocks
from core.models.parts.constraints import constraint_of
from core.models.parts.grids import grid_of
from core.models.parts.sizes import embedding_tables, linear_sizes
from core.models.removal.geometry import Geometry
from core.models.removal.units import find_units, whole_block
from core.models.sources import identify, load_model, load_tokenizer
from core.registry import build_method as method_of
from core.request.stages import build_stage
from core.results import LayerReport
from core.specs import Stage, TextWindows
from core.training.base import TrainingMethod, TrainPruneMethod
from tests.core.commands import WORDS

BLOCKS = 4
RATIO = 0.4
BITS = {RATIO: 4, 0.2: 8, 0.5: 2}  # of what rounds, in the place of a ratio; at least its lowest
FACTORS = {RATIO: "2x", 0.2: "1.5x", 0.5: "2.5x"}  # of what makes the embedding smaller
WINDOWS, WINDOW = 8, 24
# So that a training takes a few steps; each of them where a method has it.
QUICK = {
    "rank": 4,
    "batch": 3,
    "learning_rate": 0.003,
    "dropout": 0.0,
    "steps": 4,
    "epochs": 4.0,
    "held_out": 1,
    "patience": 0,
    "every": 1,
    "answer_tokens": 8,
    "temperature": 0.1,  # so that a teacher repeats one answer, which a student learns at once
}
NARROW = {"group_size": 16, "iterations": 8}  # which divides the tiny model's widths, in little time


@dataclass(frozen=True)
class Case:
    """A method or recovery with settings of its own."""

    method: type[Method]
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return " ".join([self.method.name, *(f"{name}={value}" for name, value in self.settings.items())])

    @property
    def all_settings(self) -> dict[str, Any]:
        quick = QUICK if issubclass(self.method, TrainingMethod) else NARROW if self.method.bit_choices else {}
        fields = self.method.Parameters.model_fields
        return {name: value for name, value in quick.items() if name in fields} | dict(self.settings)

    @property
    def made(self) -> Method:
        return self.method.create(self.method.parse_parameters(self.all_settings), 0)


def instead(method: type[Method], ratio: float) -> str | None:
    """Return the amount that replaces a ratio, or None if the method takes the ratio."""
    if method.bit_choices and ratio in BITS:
        return f"{max(BITS[ratio], method.bit_choices[0])}bit"
    return FACTORS.get(ratio) if method.factor_choices else None


def cases(methods: Sequence[type[Method]]) -> list[Case]:
    """Return every method as it is by default, and with each other value of each choice among its parameters."""
    found = []
    for method in methods:
        found.append(Case(method))
        for name, parameter in method.Parameters.model_fields.items():
            others = [value for value in _choices(parameter.annotation) if value != parameter.default]
            found += [Case(method, {name: value}) for value in others]
    return found


def one_a_type(cases: Sequence[Case]) -> list[Case]:
    """Return the first case of each class of methods: settings may decide which class carries a method out."""
    return list({type_of(case): case for case in reversed(cases)}.values())


def class_of(case: Case) -> tuple[Kind, Reads]:
    """Return the kind of runner that carries a case out, and its data, for the tiers of the tests."""
    return case.made.kind, case.made.data_requirement


def type_of(case: Case) -> type[Method]:
    """Return the class that carries a case out, for the tiers of the tests."""
    return type(case.made)


def _choices(annotation: Any) -> Iterator[Any]:
    """Yield the values that a type allows, where they are few: of a Literal, a bool, or one of them or None."""
    if annotation is bool:
        yield from (False, True)
    elif get_origin(annotation) is Literal:
        yield from get_args(annotation)
    else:
        for part in get_args(annotation):
            yield from _choices(part)


@dataclass(frozen=True)
class Ground:
    """The dense model, which nobody changes, and what the stages of a run share."""

    dense: PreTrainedModel
    text: TextWindows
    lesson: TextWindows  # every window the same, so that what is trained on is what is held out, and is learnt at once
    context: Context

    @classmethod
    def at(cls, folder: Path) -> Ground:
        """`folder` holds a model whose tokenizer knows `WORDS`; the texts are written into it, too."""
        source = identify(str(folder))
        context = Context(torch.device("cpu"), dense=source, tokenizer=load_tokenizer(source))
        draw = random.Random(0)
        paragraphs = {"text": [draw.choices(WORDS, k=100) for _ in range(20)], "lesson": [WORDS[:WINDOW] * 4] * 5}
        texts = {}
        for name, words in paragraphs.items():
            file = folder / f"{name}.txt"
            file.write_text("\n\n".join(" ".join(paragraph) for paragraph in words))
            texts[name] = TextWindows(corpus=str(file), windows=WINDOWS, window=WINDOW)
        return cls(load_model(source, "float32"), **texts, context=context)

    @torch.no_grad()
    def outputs(self, model: PreTrainedModel) -> Tensor:
        """Return the outputs of the dense model, or of a variant, for a fixed input."""
        return model(calibration_windows(read_data(self.text), self.context.tokenizer, 0)).logits

    def make(self, case: Case, ratio: float = RATIO, **options: Any) -> Made:
        """Apply the case to a copy of the dense model. `options`: pattern, layers, seed and text."""
        pattern = options.pop("pattern", None) or instead(case.method, ratio)
        amount = Amount.from_columns(ratio if case.method.takes_amount else None, pattern)
        defaults: dict[str, Any] = {"settings": case.all_settings, "calibration": self.text}
        stage = build_stage(case.method.name, amount, **defaults | options)
        model = copy.deepcopy(self.dense)
        return Made(self, case, stage, model, self._apply(model, stage))

    def reconstruct(self, made: Made, later: Case, **options: Any) -> Made:
        """Apply a reconstruction or recovery to a copy of the compressed model. `options`: layers, seed and text."""
        defaults: dict[str, Any] = {"settings": later.all_settings, "calibration": self.text}
        stage = build_stage(later.method.name, **defaults | options)
        model = copy.deepcopy(made.model)
        return Made(self, later, stage, model, self._apply(model, stage))

    def recover(self, made: Made, recovery: Case) -> PreTrainedModel:
        """Return a copy of what was made, trained by a recovery."""
        return self.reconstruct(made, recovery, calibration=self.lesson).model

    def _apply(self, model: PreTrainedModel, stage: Stage) -> list[LayerReport]:
        return apply(model, self.given(stage), self.context).reports

    def given(self, stage: Stage) -> StageInput:
        """Return a stage with the data that it reads."""
        if stage.calibration is None:
            return StageInput(stage)
        data = read_data(stage.calibration)
        if method_of(stage).data_requirement == "training":
            return StageInput(stage, training_data=data)
        return StageInput(stage, calibration_windows(data, self.context.tokenizer, stage.seed or 0))


@dataclass(frozen=True)
class Made:
    """A model that a case made of the dense one."""

    ground: Ground
    case: Case
    stage: Stage
    model: PreTrainedModel
    reports: Sequence[LayerReport]

    @property
    def method(self) -> Method:
        return method_of(self.stage)


def linears(model: nn.Module) -> list[Linear]:
    return list(find_blocks(model).all_linears())


def left(model: nn.Module) -> int:
    """Return how many weights of block linears are there and not zero."""
    return sum(int(torch.count_nonzero(one.weight)) for one in linears(model))


def counts(model: nn.Module) -> tuple[int, int]:
    """Return the parameters of a dense model, and its block linears' weights."""
    return sum(p.numel() for p in model.parameters()), sum(linear_sizes(model).values())


def modules(model: nn.Module) -> dict[str, str]:
    return {name: type(module).__name__ for name, module in model.named_modules()}


def same(one: nn.Module, other: nn.Module) -> bool:
    """Whether two models are built alike and equal bit for bit."""
    ours, theirs = one.state_dict(), other.state_dict()
    return (
        modules(one) == modules(other)
        and ours.keys() == theirs.keys()
        and all(torch.equal(tensor, theirs[name]) for name, tensor in ours.items())
    )


KINDS: dict[str, Trait] = {
    "factors": "factors",
    "tables": "embedding",
    "blocks": "basis",
    "turns": "rotation",
}


def observed_traits(made: Made) -> set[Trait]:
    """Return the traits that a stage left in its model."""
    model, dense = made.model, made.ground.dense
    found = {trait for tag, trait in KINDS.items() if shapes_of(model).get(tag)}
    if any(_hooks(module) for module in model.modules()):
        found.add("runtime")
    constraints = [known for linear in linears(model) if (known := constraint_of(linear.module))]
    if constraints:
        found.add("zeros")
    if any(known.pattern for known in constraints):
        found.add("pattern")
    if any(grid_of(linear.module) for linear in linears(model)):
        found.add("grid")
    if any(grid_of(table) for table in embedding_tables(model).values()):
        found.add("table grid")
    after, before = ({linear.name: linear.shape for linear in linears(one)} for one in (model, dense))
    if any(after.get(name, shape) != shape for name, shape in before.items()) or len(after) < len(before):
        found.add("shapes")
    return found


def _hooks(module: nn.Module) -> bool:
    return bool(module._forward_hooks or module._forward_pre_hooks)


Sizes = Sequence[tuple[int, int]]  # (out, in) of linears


def _rows(method: Method, unit: Geometry, sizes: Sizes) -> float:
    return sum(outputs for outputs, _ in sizes) / 2


def _weights(method: Method, unit: Geometry, sizes: Sizes) -> float:
    by_row = isinstance(method, ScoreMethod) and method.comparison_group == "row"
    return _rows(method, unit, sizes) if by_row else len(sizes) / 2


def _trained(method: Method, unit: Geometry, sizes: Sizes) -> float:
    return len(sizes) / 2 if method.ratio_kind == "sparsity" else unit.channel_weights


# Given the method, a dense block's geometry and the linears in question. A method of another kind needs its own line.
SLACK = {
    ScoreMethod: _weights,
    SparseGPT: _weights,
    OBS: _weights,
    ALPS: _weights,
    LowRank: lambda method, unit, sizes: max(outputs + inputs for outputs, inputs in sizes),  # a rank
    LinearMethod: _rows,
    UnitMethod: lambda method, unit, sizes: unit.channel_weights,
    BlockRemovalMethod: lambda method, unit, sizes: unit.weights / 2,
    # Half of one of eight experts of every block, whose linears alone have other sizes than attention's.
    ExpertMethod: lambda method, unit, sizes: sum(out * inp for out, inp in sizes if 48 in (out, inp)) / 8 / 2,
    HiddenSizeMethod: lambda method, unit, sizes: BLOCKS * unit.weights / unit.hidden / 2,
    # Half a column of every block, whose two shortcuts are width x width.
    SliceMethod: lambda method, unit, sizes: BLOCKS * (unit.weights / unit.hidden + 4 * unit.hidden) / 2,
    TrainPruneMethod: _trained,
}


def slack(made: Made, sizes: Sizes) -> float:
    """Return by how many weights the share of linears of these sizes may be missed."""
    method = made.method
    kind = next(base for base in type(method).__mro__ if base in SLACK)
    unit = whole_block(find_blocks(made.ground.dense), 0).geometry
    if kind is not ExpertMethod:
        unit = find_units(find_blocks(made.ground.dense), 0).geometry
    return SLACK[kind](method, unit, sizes) + 1e-6
