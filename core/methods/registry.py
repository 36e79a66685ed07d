"""Every method, in the order shown to users. Adding one is its file and a line here."""

from core.errors import unknown
from core.methods.base import Method
from core.methods.dense import Dense
from core.methods.lowrank.asvd import ASVD
from core.methods.lowrank.svd import SVD
from core.methods.lowrank.svd_llm import SVDLLM
from core.methods.magnitude import Magnitude
from core.methods.sparsegpt import SparseGPT
from core.methods.structured.flap import FLAP
from core.methods.structured.hywia import HyWIA
from core.methods.structured.llm_pruner import LLMPruner
from core.methods.structured.lorap import LoRAP
from core.methods.structured.loraprune import LoRAPrune
from core.methods.structured.neuron_magnitude import NeuronMagnitude
from core.methods.structured.shortgpt import ShortGPT
from core.methods.structured.slicegpt import SliceGPT
from core.methods.structured.slimllm import SlimLLM
from core.methods.wanda import Wanda

METHODS: tuple[type[Method], ...] = (
    Dense,
    Magnitude,
    Wanda,
    SparseGPT,
    NeuronMagnitude,
    LLMPruner,
    LoRAPrune,
    LoRAP,
    SlimLLM,
    HyWIA,
    FLAP,
    ShortGPT,
    SliceGPT,
    SVD,
    ASVD,
    SVDLLM,
)


def get_method(name: str) -> type[Method]:
    """Return the method of that name; a `UserError` names the nearest one otherwise."""
    for method in METHODS:
        if method.name == name:
            return method
    raise unknown("method", name, [method.name for method in METHODS])
