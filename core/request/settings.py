"""The settings of a run besides its model and its chain; imports no torch."""

from pydantic import Field

from core.models.shape import MOST_UNCOVERED
from core.notation.chain import ChainDefaults
from core.request.execution import SHARE, VARIABLE
from core.specs import Dtype, Frozen, Perplexity, ScanUnit, Task, TextWindows


class RunSettings(Frozen):
    """The settings of a run, in the order of the options of the command line, which describe them by these words."""

    name: str | None = Field(
        default=None, description="Name of a model in a folder; default: the last part of its path."
    )
    calibration: TextWindows | None = Field(
        default=None,
        description="Calibration data of all stages: N sequences of L tokens, such as c4-sample:16x2048, or from a "
        "text file, notes.txt:4x256.",
    )
    train: TextWindows | None = Field(
        default=None,
        description="Training data: N examples of up to L tokens, such as c4-sample:512x256. "
        "The parameter held_out, 8 by default, sets the number of held-out examples.",
    )
    perplexity: tuple[Perplexity, ...] = Field(
        default=(),
        description="Measure perplexity on the first N windows, or on N windows spread over the text; default: all "
        "windows. Examples: wikitext2@2048:16, or for a text file, notes.txt@256:4. May be repeated.",
    )
    tasks: tuple[Task, ...] = Field(
        default=(), description="Tasks, each with its own limit of documents; zero-shot without --fewshot."
    )
    scoring: Dtype | None = Field(default=None, description="Evaluation precision of tasks; default: the model's.")
    seed: int = Field(default=0, description="Seed for sampling and training.")
    device: str = Field(default="cpu", description="cpu, cuda, cuda:1 ...")
    dtype: str = Field(default="float32", description="float32, bfloat16 or float16.")
    memory: int | None = Field(
        default=None,
        description="Memory that the run may take, such as 6GB; a larger model streams from disk, block by block. "
        f"Default: {VARIABLE}, or {SHARE:.0%} of the free memory.",
    )
    threads: int | None = Field(
        default=None, description="Threads to compute with. Default: one for each core, or those of a job."
    )
    partial: bool = Field(
        default=False,
        description=f"Compress the linears of a model although over {MOST_UNCOVERED:.0%} of its block weights are in "
        "none.",
    )
    fidelity: bool = Field(
        default=False,
        description="Compare with the dense model, token by token, on the texts of --perplexity: KL divergence and "
        "agreement.",
    )
    latency: bool = Field(
        default=False, description="Measure prefill and decode latency; quantised linears compute on their codes."
    )
    scan: ScanUnit | None = Field(
        default=None,
        description="Measure layer sensitivity: compress one block or linear at a time and measure how much the loss "
        "rises.",
    )
    force: bool = Field(default=False, description="Compute stored results again.")

    @property
    def defaults(self) -> ChainDefaults:
        """The data and the seed of stages that name none."""
        return ChainDefaults(self.calibration, self.train, self.seed)


DEFAULT_SETTINGS = RunSettings()
