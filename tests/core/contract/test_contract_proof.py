"""The contract can fail: for every method and recovery that does nothing, and for what breaks one of its points."""

import random

import numpy
import pytest
import torch
from pydantic import Field

from core.amount import Pattern
from core.engine.runners import by_linear
from core.evaluation.layers import report
from core.methods.kinds import Dense
from core.methods.linear import Compressed
from core.methods.parameters import MethodParameters
from core.methods.structured.llm_pruner import LLMPruner, LLMPrunerLayers
from core.methods.unstructured.adaprune import AdaPrune
from core.methods.unstructured.allocation import AllocatedParameters
from core.methods.unstructured.magnitude import Magnitude
from core.methods.unstructured.wanda import Wanda
from core.models.parts.sizes import is_language_model
from core.registry import METHODS, RECONSTRUCTIONS, RECOVERIES
from core.training import adapters
from core.training.methods.lora import LoRA
from tests.core.contract import checks, declared
from tests.core.contract.ground import BLOCKS, Case, Ground, cases, class_of, linears, one_a_type
from tests.core.tiny import tiny

MAGNITUDE, WANDA = Case(Magnitude), Case(Wanda)


class Drawn(AllocatedParameters):
    chance: float = Field(default_factory=random.random, description="Another one each time.")


class Undescribed(MethodParameters):
    share: float = 0.5


class Impossible(MethodParameters):
    share: float = Field(default=2.0, le=1, description="A default that is not allowed.")


def no_work(ground, model, stage):
    return [report(linear) for linear in linears(model)] if is_language_model(model) else []


@pytest.mark.matrix(case=class_of)
@pytest.mark.parametrize("case", [case for case in one_a_type(cases(METHODS)) if case.method is not Dense], ids=str)
def test_contract_detects_a_method_without_effect(case, grounds, monkeypatch):
    ground = grounds(case)
    monkeypatch.setattr(Ground, "_apply", no_work)
    with pytest.raises(AssertionError):
        checks.check_share(ground.make(case))
    if case.made.selects_layers:
        with pytest.raises(AssertionError):
            checks.check_layers(ground, case)
    if case.method.supports_nm:
        with pytest.raises(AssertionError):
            checks.check_pattern(ground.make(case, pattern="2:4").model, Pattern(2, 4))


@pytest.mark.parametrize("reconstruction", RECONSTRUCTIONS, ids=lambda reconstruction: reconstruction.name)
def test_contract_detects_a_reconstruction_without_effect(reconstruction, ground, monkeypatch, tmp_path):
    made = ground.make(MAGNITUDE)
    checks.check_reconstructed(made, Case(reconstruction), tmp_path)
    monkeypatch.setattr(reconstruction, "compress", lambda self, weight, *_: Compressed(weight))
    with pytest.raises(AssertionError):
        checks.check_reconstructed(made, Case(reconstruction), tmp_path)
    with pytest.raises(AssertionError):
        checks.check_reconstruction_layers(made, Case(reconstruction))
    with pytest.raises(AssertionError):
        checks.check_reconstruction_seeds(made, Case(reconstruction))
    monkeypatch.setattr(reconstruction, "plan", lambda *_: {})
    with pytest.raises(pytest.fail.Exception):
        checks.check_unmasked_refused(ground, Case(reconstruction))


def test_contract_detects_a_reconstruction_that_worsens_or_prunes(ground, monkeypatch, tmp_path):
    made = ground.make(MAGNITUDE)
    for change in (lambda weight: 1.5 * weight, lambda weight: weight.clone().fill_diagonal_(0)):
        monkeypatch.setattr(AdaPrune, "compress", lambda self, weight, *_, change=change: Compressed(change(weight)))
        with pytest.raises(AssertionError):
            checks.check_reconstructed(made, Case(AdaPrune), tmp_path)


@pytest.mark.parametrize("recovery", RECOVERIES, ids=lambda recovery: recovery.name)
def test_contract_detects_a_recovery_without_effect(recovery, ground, monkeypatch):
    made = ground.make(MAGNITUDE)
    monkeypatch.setattr(Ground, "_apply", no_work)
    with pytest.raises(AssertionError):
        checks.check_recovered(made, Case(recovery))


def drawn(self, weight, statistics):
    return torch.rand(weight.shape, generator=statistics.generator)


@pytest.mark.parametrize(
    "score",
    [
        drawn,
        lambda self, weight, statistics: torch.from_numpy(numpy.random.rand(*weight.shape)),
        lambda self, weight, statistics: torch.full_like(weight, random.random()).bernoulli_(random.random()),
    ],
    ids=["torch", "numpy", "random"],
)
def test_contract_detects_undeclared_random_numbers(score, ground, monkeypatch):
    monkeypatch.setattr(Magnitude, "score", score)
    with pytest.raises(
        AssertionError, match="magnitude gives different results under one key: it draws random numbers"
    ):
        checks.check_seeds(ground, MAGNITUDE, ground.make(MAGNITUDE))


@pytest.mark.parametrize("allocation", ["uniform", "global"])
def test_a_score_with_declared_randomness_passes_the_contract(allocation, ground, monkeypatch):
    """Its seed is in the key, and each linear draws numbers of its own."""
    monkeypatch.setattr(Magnitude, "score", drawn)
    monkeypatch.setattr(Magnitude, "draws", True)
    case = Case(Magnitude, {"allocation": allocation})
    made = ground.make(case)
    checks.check_seeds(ground, case, made)
    checks.check_share(made)
    assert made.stage.seed == 0 and ground.make(case, seed=7).stage.seed == 7
    query, output = (
        linear.weight == 0 for linear in linears(made.model) if linear.role in ("q", "o") and not linear.block
    )
    assert query.shape == output.shape and not torch.equal(query, output)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("name", "Magnitude_2"),
        ("label", ""),
        ("family", "other"),
        ("summary", "Zeroes weights. Reads no data."),
        ("summary", "zeroes weights"),
        ("idea", "Small weights matter least."),
        ("idea", "Small weights matter least. They are removed. No data is read. It is fast."),
        ("formulas", ()),
        ("formulas", r"S_{ij} = |W_{ij}|"),
        ("formulas", (r"S_{ij} = |W_{ij|",)),
        ("formulas", (r"S_{ij} = \left| W_{ij}|",)),
        ("formulas", (r"S_{ij} = \lVert W_{ij}",)),
        ("formulas", (r"S_{ij} = |W_{ij}|^",)),
        ("formulas", (r"S_{ij} = |Z_{ij}|",)),  # what is Z?
        ("symbols", {"Z": "of no formula"}),
        ("symbols", {"S": ""}),
        ("version", 0),
        ("citation", Magnitude.citation.model_copy(update={"url": "arXiv:1506.02626"})),
        ("Parameters", Undescribed),
    ],
)
def test_contract_detects_an_incomplete_declaration(name, value, monkeypatch):
    monkeypatch.setattr(Magnitude, name, value)
    with pytest.raises(AssertionError):
        declared.check_declared(Magnitude)


def test_contract_detects_an_invalid_default(monkeypatch):
    monkeypatch.setattr(Magnitude, "Parameters", Impossible)
    with pytest.raises(ValueError, match="less than or equal to 1"):
        declared.check_declared(Magnitude)


def drawing(case):
    return lambda ground, folder: checks.check_seeds(ground, case, ground.make(case))


def declaring(method, **settings):
    return lambda ground, folder: declared.check_of(Case(method, settings), ground)


BROKEN = {  # by the fault: what is replaced, by what, and the check that fails
    "zeros filled by a recovery": (
        (adapters, "constraint_of", lambda linear: None),
        lambda ground, folder: checks.check_recovered(ground.make(MAGNITUDE), Case(LoRA)),
    ),
    "a change at ratio zero": (
        (Magnitude, "compress", lambda self, weight, *_: Compressed(weight * (1 + 1e-6))),
        lambda ground, folder: checks.check_nothing(ground, MAGNITUDE),
    ),
    "ignored layers": (
        (by_linear, "select", lambda linears, layers, blocks: linears),
        lambda ground, folder: checks.check_layers(ground, MAGNITUDE),
    ),
    "another model reloaded": (
        (checks, "load_model_folder", lambda folder, dtype: tiny(num_hidden_layers=BLOCKS)),
        lambda ground, folder: checks.check_saved(ground.make(MAGNITUDE), folder),
    ),
    "a default in the key": (
        (Magnitude, "Parameters", Drawn),
        lambda ground, folder: declared.check_key(Magnitude, ground),
    ),
    "an unused seed": ((Magnitude, "draws", True), drawing(MAGNITUDE)),
    "unread calibration data": ((Wanda, "score", lambda self, weight, statistics: weight.abs()), drawing(WANDA)),
    "a version of its own": ((LLMPrunerLayers, "version", 1), declaring(LLMPruner, granularity="layer")),
    "no cost": ((Magnitude, "cost", lambda *_: 0), declaring(Magnitude)),
    "a cost without text": ((Wanda, "cost", lambda *_: 1e9), declaring(Wanda)),
    "a memory without text": ((Wanda, "memory", lambda *_: 1e9), declaring(Wanda)),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_contract_detects(fault, ground, monkeypatch, tmp_path):
    monkeypatch.setattr(checks, "DRAWS", 2)
    replaced, check = BROKEN[fault]
    monkeypatch.setattr(*replaced)
    with pytest.raises(AssertionError):
        check(ground, tmp_path)
