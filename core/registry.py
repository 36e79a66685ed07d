"""Every method, and what makes better what methods leave, in the order shown to users.

Adding one is its file and a line here.
"""

from typing import Any, TypeVar

from pydantic import ValidationError

from core.errors import UserError, unknown
from core.methods.base import Method, Reconstruction
from core.methods.dense import Dense
from core.methods.lowrank.asvd import ASVD
from core.methods.lowrank.svd import SVD
from core.methods.lowrank.svd_llm import SVDLLM
from core.methods.structured.flap import FLAP
from core.methods.structured.hywia import HyWIA
from core.methods.structured.llm_pruner import LLMPruner
from core.methods.structured.lorap import LoRAP
from core.methods.structured.loraprune import LoRAPrune
from core.methods.structured.neuron_magnitude import NeuronMagnitude
from core.methods.structured.shortgpt import ShortGPT
from core.methods.structured.slicegpt import SliceGPT
from core.methods.structured.slimllm import SlimLLM
from core.methods.unstructured.adaprune import AdaPrune
from core.methods.unstructured.magnitude import Magnitude
from core.methods.unstructured.ria import RIA
from core.methods.unstructured.sparsegpt import SparseGPT
from core.methods.unstructured.wanda import Wanda
from core.specs import Stage
from core.training.base import Recovery
from core.training.methods.distill_black import DistillBlack
from core.training.methods.distill_white import DistillWhite
from core.training.methods.lora import LoRA
from core.training.methods.loraprune_trained import LoRAPruneTrained
from core.training.methods.magnitude_trained import MagnitudeTrained

Kind = TypeVar("Kind", bound=Method)

METHODS: tuple[type[Method], ...] = (
    Dense,
    Magnitude,
    Wanda,
    RIA,
    SparseGPT,
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
    LoRAPruneTrained,
    SVD,
    ASVD,
    SVDLLM,
)
RECONSTRUCTIONS: tuple[type[Reconstruction], ...] = (AdaPrune,)
RECOVERIES: tuple[type[Recovery], ...] = (LoRA, DistillWhite, DistillBlack)
STAGES: tuple[type[Method], ...] = (*METHODS, *RECONSTRUCTIONS, *RECOVERIES)


def get_method(name: str) -> type[Method]:
    """Return the method of that name; a `UserError` names the nearest one otherwise."""
    if name in {recovery.name for recovery in RECOVERIES}:
        raise UserError(f"{name} is a recovery, trained after a method; add it to one with --recover {name}.")
    if name in {reconstruction.name for reconstruction in RECONSTRUCTIONS}:
        raise UserError(f"{name} is a reconstruction, which adjusts what a mask has left; prune with a method first.")
    return _named("method", name, METHODS)


def get_recovery(name: str) -> type[Recovery]:
    """Return the recovery of that name; a `UserError` names the nearest one otherwise."""
    return _named("recovery", name, RECOVERIES)


def get_stage(name: str) -> type[Method]:
    """Return the method, reconstruction or recovery that a stage is."""
    return _named("stage", name, STAGES)


def made(stage: Stage) -> Method:
    """Return a stage's method with its parameters. A `UserError` names a parameter that does not fit."""
    found = get_stage(stage.method)
    return found.of(found.parsed(stage.parameters), stage.seed)


def spelt_out(stage: Stage) -> dict[str, Any]:
    """Return all parameters of a stage, defaults included; only its own where this version has no such method."""
    try:
        return get_stage(stage.method).Parameters.model_validate(stage.parameters).model_dump()
    except (UserError, ValidationError):
        return stage.parameters


def _named(kind: str, name: str, known: tuple[type[Kind], ...]) -> type[Kind]:
    for method in known:
        if method.name == name:
            return method
    raise unknown(kind, name, [method.name for method in known])
