"""The registry of methods, preparations, reconstructions and recoveries, in the order of display.

To add a stage, write its file and add a line here, or declare an entry point in another package (`core.base.plugins`).
"""

import json
from collections.abc import Sequence
from functools import lru_cache
from typing import get_args

from pydantic import JsonValue, ValidationError

from core.amount import Bits, Pattern
from core.base import plugins
from core.base.errors import UserError, echo, unknown
from core.methods.base import Method
from core.methods.embedding.lowrank import EmbeddingLowRank
from core.methods.embedding.tensor_train import TensorTrain
from core.methods.kinds import Dense, Reconstruction, TransformMethod
from core.methods.lowrank.asvd import ASVD
from core.methods.lowrank.svd import SVD
from core.methods.lowrank.svd_llm import SVDLLM
from core.methods.quantised.autoround import AutoRound
from core.methods.quantised.awq import AWQ
from core.methods.quantised.gptq import GPTQ
from core.methods.quantised.hqq import HQQ
from core.methods.quantised.rotate import Rotate
from core.methods.quantised.rtn import RTN
from core.methods.structured.experts import REAP, ExpertFrequency
from core.methods.structured.flap import FLAP
from core.methods.structured.hywia import HyWIA
from core.methods.structured.llm_pruner import LLMPruner
from core.methods.structured.lorap import LoRAP
from core.methods.structured.loraprune import LoRAPrune
from core.methods.structured.neuron_magnitude import NeuronMagnitude
from core.methods.structured.shortgpt import ShortGPT
from core.methods.structured.slicegpt import SliceGPT
from core.methods.structured.slimllm import SlimLLM
from core.methods.terms import GRIDS, Kind, Reads, Trait
from core.methods.unstructured.adaprune import AdaPrune
from core.methods.unstructured.alps import ALPS
from core.methods.unstructured.magnitude import Magnitude
from core.methods.unstructured.obs import OBS
from core.methods.unstructured.ria import RIA
from core.methods.unstructured.sparsegpt import SparseGPT
from core.methods.unstructured.wanda import Wanda
from core.models.catalogue import BY_ID
from core.specs import Scalar, Stage, canonical_json
from core.training.base import Recovery
from core.training.methods.distill_black import DistillBlack
from core.training.methods.distill_white import DistillWhite
from core.training.methods.lora import LoRA
from core.training.methods.loraprune_trained import LoRAPruneTrained
from core.training.methods.magnitude_trained import MagnitudeTrained

BUILT_IN: tuple[type[Method], ...] = (
    Dense,
    Magnitude,
    Wanda,
    RIA,
    SparseGPT,
    OBS,
    ALPS,
    MagnitudeTrained,
    NeuronMagnitude,
    LLMPruner,
    LoRAPrune,
    LoRAP,
    SlimLLM,
    HyWIA,
    FLAP,
    ShortGPT,
    SliceGPT,
    REAP,
    ExpertFrequency,
    LoRAPruneTrained,
    SVD,
    ASVD,
    SVDLLM,
    RTN,
    HQQ,
    AWQ,
    GPTQ,
    AutoRound,
    TensorTrain,
    EmbeddingLowRank,
    Rotate,
    AdaPrune,
    LoRA,
    DistillWhite,
    DistillBlack,
)


def _plugin(entry: str, found: object) -> tuple[str, type[Method]]:
    """Return the name and the class of a plug-in's method; raise `ValueError` if it is no method, or of no kind."""
    if not (isinstance(found, type) and issubclass(found, Method)):
        raise ValueError(f"{echo(str(found))} is not a subclass of slimscope.methods.Method")
    if getattr(found, "kind", None) not in get_args(Kind):
        raise ValueError(f"{found.__name__} derives from no base class that the engine runs, such as ScoreMethod")
    return found.name, found


PLUG_INS = plugins.load("method", [stage.name for stage in BUILT_IN], _plugin)
_ALL = (*BUILT_IN, *PLUG_INS.usable.values())
PREPARATIONS: tuple[type[TransformMethod], ...] = tuple(stage for stage in _ALL if issubclass(stage, TransformMethod))
RECONSTRUCTIONS: tuple[type[Reconstruction], ...] = tuple(stage for stage in _ALL if issubclass(stage, Reconstruction))
RECOVERIES: tuple[type[Recovery], ...] = tuple(stage for stage in _ALL if issubclass(stage, Recovery))
METHODS: tuple[type[Method], ...] = tuple(
    stage for stage in _ALL if not issubclass(stage, TransformMethod | Reconstruction | Recovery)
)
STAGES: tuple[type[Method], ...] = (*METHODS, *PREPARATIONS, *RECONSTRUCTIONS, *RECOVERIES)
BY_NAME = {stage.name: stage for stage in STAGES}


def get_stage(name: str) -> type[Method]:
    """Return the class of the stage with this name; a `UserError` for an unknown name suggests the nearest one."""
    if name not in BY_NAME:
        raise unknown("stage", name, list(BY_NAME))
    return BY_NAME[name]


def family_of(method: str, is_external: bool) -> str:
    """Return the family of a stage by its name: an external one is its own, one that this version lacks is `other`."""
    known = BY_NAME.get(method)
    return known.family if known else method if is_external else "other"


def build_method(stage: Stage) -> Method:
    """Build a stage's method with its parameters; a `UserError` names an invalid parameter."""
    found = get_stage(stage.method)
    return found.create(
        found.parse_parameters(found.settings_at(stage.version, stage.parameters)), stage.seed, stage.amount
    )


def data_requirement(stage: Stage) -> Reads:
    """Return the kind of text that a stage reads, estimated if this version lacks the stage."""
    try:
        return _cached_method(stage).data_requirement
    except UserError:
        if stage.calibration is None:
            return "nothing"
        return "training" if stage.recovers else "calibration"


def leaves(stage: Stage) -> frozenset[Trait]:
    """Return the traits that a stage leaves in the model; none if this version lacks the stage.

    A ratio of 0 removes nothing, so only a grid is left.
    """
    try:
        own = _cached_method(stage).leaves
    except UserError:
        return frozenset()
    if stage.ratio == 0:
        return own & GRIDS
    return own | {"pattern"} if isinstance(stage.amount, Pattern) else own


def quantises(stage: Stage) -> bool:
    """Return whether a stage quantises weights."""
    return bool(leaves(stage) & GRIDS)


def on_own_grid(model: str, stages: Sequence[Stage]) -> bool:
    """Return whether a chain restores the weights of a model's file: its one stage uses the same grid."""
    card = BY_ID.get(model)
    if card is None or card.grid is None or len(stages) > 1 or not quantises(stages[0]):
        return False
    method, amount = _cached_method(stages[0]), stages[0].amount
    if not isinstance(amount, Bits) or not getattr(method, "float_zero_point", False):
        return False
    return (amount.bits, getattr(method.parameters, "group_size", None)) == card.grid


def known_method(stage: Stage) -> Method | None:
    """Return a shared method of a stage, which callers must not change; None if this version lacks the stage."""
    try:
        return _cached_method(stage)
    except UserError:
        return None


def _cached_method(stage: Stage) -> Method:
    """Return a shared method of a stage, without its seed; callers must not change it."""
    return _method(stage.method, stage.version, canonical_json(stage.parameters) if stage.parameters else "{}")


@lru_cache(maxsize=1024)  # every name and every row of every variant needs it
def _method(method: str, version: int, parameters: str) -> Method:
    return build_method(Stage(method=method, version=version, parameters=json.loads(parameters)))


def settings_of(stage: Stage) -> dict[str, Scalar]:
    """Translate a stage's parameters to the current version; unchanged if this version lacks the method."""
    try:
        return get_stage(stage.method).settings_at(stage.version, stage.parameters)
    except UserError:
        return stage.parameters


def all_parameters(stage: Stage) -> dict[str, JsonValue]:
    """Return a stage's parameters with defaults; only the stored ones if this version lacks the method."""
    try:
        return get_stage(stage.method).Parameters.model_validate(settings_of(stage)).model_dump()
    except (UserError, ValidationError):
        return stage.parameters
