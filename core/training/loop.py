"""The shared training loop: budget, schedule, held-out loss, best weights, early stop, cancellation and resumption.

The optimiser is that of LLM-Pruner's recipe: AdamW with a warm-up and a linear decay. Both depend on the used share of
the budget, in steps or minutes.

References: Ma et al., LLM-Pruner, 2023 (arXiv:2305.11627), section 4.
"""

import logging
import math
import pickle
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from core.base.errors import CancelledError, UserError, out_of_memory
from core.base.progress import Progress
from core.cache.disk import end_with_digest, ends_with_digest
from core.cache.folders import replacing
from core.results import Training
from core.training.adapters import set_weights, weights_of
from core.training.base import MICRO_TOKENS, Pruning
from core.training.examples import Batch, Examples
from core.training.losses import next_token, states, targets, through_head

State = dict[str, Any]  # Any: each entry has a type of its own
log = logging.getLogger(__name__)

EVALUATIONS = 10  # of the held-out loss, evenly over the budget
CHECKPOINT_SECONDS = 60
CLIP = 1.0  # maximum norm of the gradients
MOST_SKIPPED = 10  # steps in a row
MISFITS = (RuntimeError, ValueError, LookupError, TypeError, AttributeError)  # from a state of another form
REMEDY = "train in float32 or bfloat16, or with a lower learning_rate"
WARMUP_STEPS, WARMUP_SHARE = 100, 0.1  # steps, and share of the budget; the shorter one applies


# loss(batch): the sum over the counted tokens, with gradients for the trained parameters.
Loss = Callable[[Batch], Tensor]


@dataclass(frozen=True)
class Budget:
    """Limits of a training; the first one that is reached ends it."""

    steps: int
    minutes: float = math.inf

    def spent(self, step: float, seconds: float) -> float:
        """Return the used share of the budget, 1 or more at its end."""
        return max(step / self.steps, seconds / (60 * self.minutes))


def train(
    model: PreTrainedModel,
    parameters: Sequence[nn.Parameter],
    loss: Loss,
    examples: Examples,
    budget: Budget,
    learning_rate: float,
    patience: int,
    progress: Progress,
    checkpoint: Path | None = None,
    during: Pruning | None = None,
) -> Training:
    """Train `parameters` in place, and leave those with the lowest held-out loss in the model.

    The state is written to `checkpoint` once a minute and at a cancellation, and a later training resumes from it. The
    caller deletes the file. Returns the course of the training; a cancelled one has `ended` = "cancelled".

    Raises `UserError` if the loss or its gradients are not numbers, and `CancelledError` before the first best weights.
    """
    device = next(model.parameters()).device
    optimiser = torch.optim.AdamW(parameters, lr=learning_rate, weight_decay=0.0)
    run = _Run(model, list(parameters), optimiser, examples, budget, Training(), progress, during)
    run.resume(checkpoint)
    model.eval()  # disables the dropout of new adapters
    try:
        run.evaluate_at(run.spent)
        saved = time.perf_counter()
        with torch.random.fork_rng():
            while run.spent < 1 and not run.exhausted(patience):
                run.step(loss, learning_rate, device, run.spent)
                run.evaluate_at(run.spent)
                if checkpoint and time.perf_counter() - saved > CHECKPOINT_SECONDS:
                    run.save(checkpoint)
                    saved = time.perf_counter()
            run.training.ended = "no improvement" if run.spent < 1 else "budget"
            while during and not during.is_final(1.0):  # the time limit was reached before all changes were complete
                run.step(loss, learning_rate, device, 1.0)
                run.evaluated = EVALUATIONS - 1
                run.evaluate_at(1.0)
    except (CancelledError, KeyboardInterrupt):
        if checkpoint and run.whole:
            run.save(checkpoint)
        if not run.best:
            raise
        run.training.ended = "cancelled"
    run.training.seconds = round(run.seconds, 3)
    if not run.best:
        raise UserError(f"The held-out loss is not a number; {REMEDY}.")
    set_weights(run.parameters, run.best)
    return run.training


@dataclass
class _Run:
    """State of a training."""

    model: PreTrainedModel
    parameters: list[nn.Parameter]
    optimiser: torch.optim.Optimizer
    examples: Examples
    budget: Budget
    training: Training
    progress: Progress
    during: Pruning | None
    best: list[Tensor] = field(default_factory=list)
    lowest: float = math.inf  # held-out loss of the best weights
    worse: int = 0  # evaluations since the best one
    evaluated: int = -1  # index of the last evaluation, of `EVALUATIONS`
    recent: list[float] = field(default_factory=list)  # mean losses of the steps since the last evaluation
    skipped: int = 0  # steps in a row whose gradients were not numbers
    whole: bool = True  # False during a change of the weights
    begun: float = 0.0  # share of the budget used before this process resumed

    def __post_init__(self) -> None:
        self.started = time.perf_counter()

    @property
    def spent(self) -> float:
        return self.budget.spent(self.training.steps, self.seconds)

    @property
    def seconds(self) -> float:
        """The seconds of training, including those before a resumption."""
        return self.training.seconds + time.perf_counter() - self.started

    def exhausted(self, patience: int) -> bool:
        return bool(patience) and self.worse >= patience

    def step(self, loss: Loss, learning_rate: float, device: torch.device, spent: float) -> None:
        batch = self.examples.batch(self.training.steps)
        counted = int(batch.counts.sum())
        after = max(spent, self.budget.spent(self.training.steps + 1, self.seconds))
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate * _schedule(spent, after, self.training.steps)
        torch.manual_seed(1_000_003 * self.examples.seed + self.training.steps)  # same dropout after a resumption
        self.model.train()
        total = 0.0
        parts = batch.split(MICRO_TOKENS)
        for number, part in enumerate(parts):
            self._report_progress(number / len(parts))
            value = loss(part.to(device))
            value.backward()  # of the sum, not the mean: small gradients would be 0 in 16 bits
            total += value.item()
        for parameter in self.parameters:
            if parameter.grad is not None:
                parameter.grad /= counted
        norm = torch.nn.utils.clip_grad_norm_(self.parameters, CLIP)
        self.whole = False
        if norm.isfinite():
            self.skipped = 0
            if self.during:
                self.during.after_gradients(max(spent, self.budget.spent(self.training.steps + 1, self.seconds)))
            self.optimiser.step()
            self.recent.append(total / counted)
        else:
            self.skipped += 1
            if self.skipped == MOST_SKIPPED:
                raise UserError(f"The gradients of {MOST_SKIPPED} steps in a row are not numbers; {REMEDY}.")
        self.optimiser.zero_grad(set_to_none=True)
        self.model.eval()
        self.training.steps += 1
        self.training.tokens += batch.ids.numel()
        self.whole = True
        self._report_progress()

    def evaluate_at(self, spent: float) -> None:
        """Measure the held-out loss if the next evaluation is due."""
        due = min(int(spent * EVALUATIONS), EVALUATIONS)
        if due <= self.evaluated:
            return
        value = held_out_loss(self.model, self.examples.held_out, self._report_progress)
        self.evaluated = due
        if self.recent:
            self.training.losses.append([self.training.steps, sum(self.recent) / len(self.recent)])
            self.recent.clear()
        self.training.held_out.append([self.training.steps, value])
        if self.during and not self.during.is_final(spent):
            pass  # incomplete weights cannot be the best ones
        elif value < self.lowest:
            self.best, self.worse, self.training.best_step = weights_of(self.parameters), 0, self.training.steps
            self.lowest = value
        else:
            self.worse += 1
        self._report_progress()

    def _report_progress(self, of_step: float = 0.0) -> None:
        """Report the progress, including the share `of_step` of the present step, which may take minutes."""
        details = [f"step {self.training.steps}"]
        if self.recent:
            details.append(f"loss {self.recent[-1]:.3f}")
        if self.training.held_out:
            details.append(f"held-out perplexity {math.exp(min(self.training.held_out[-1][1], 700.0)):.4g}")
        spent = self.budget.spent(self.training.steps + of_step, self.seconds)
        done = (spent - self.begun) / max(1 - self.begun, 1e-9)  # of this process, to estimate the remaining time
        self.progress("train", min(int(1000 * done), 1000), 1000, ", ".join(details))

    def save(self, file: Path) -> None:
        """Write the state atomically."""
        with replacing(file) as stream:
            torch.save(self.state(), stream)
            end_with_digest(stream)  # PyTorch does not verify the archive's own checksums

    def state(self) -> State:
        """Return everything that the remaining training depends on."""
        return {
            "training": self.training.as_dict() | {"seconds": self.seconds},
            "weights": weights_of(self.parameters),
            "best": self.best,
            "optimiser": self.optimiser.state_dict(),
            "lowest": self.lowest,
            "during": self.during.tensors() if self.during else {},
            "worse": self.worse,
            "evaluated": self.evaluated,
            "recent": self.recent,
        }

    def resume(self, file: Path | None) -> None:
        """Restore the state that `save` wrote, if there is one; delete a file that does not match."""
        if file is None or not file.is_file():
            return
        before = self.state()
        try:
            if not ends_with_digest(file):
                raise ValueError("it does not match its checksum")
            state = torch.load(file, map_location="cpu", weights_only=True)
            if state.keys() != before.keys():
                raise ValueError("it has other keys")
            for name in ("weights", "best"):
                own = before["weights"] if state[name] else []  # no weights are best before the first evaluation
                if [w.shape for w in state[name]] != [w.shape for w in own]:
                    raise ValueError(f"its {name} have other shapes")
            self.restore(state)
        except (OSError, EOFError, pickle.UnpicklingError, *MISFITS) as error:
            if out_of_memory(error):
                raise
            log.info("The training cannot resume from %s and starts from the beginning: %r", file, error)
            file.unlink()
            self.restore(before)

    def restore(self, state: State) -> None:
        """Restore a state; the masks come last, as they cannot be undone."""
        self.training = Training(**state["training"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.worse, self.evaluated, self.recent = state["worse"], state["evaluated"], state["recent"]
        self.lowest, self.best = state["lowest"], state["best"]
        set_weights(self.parameters, state["weights"])
        if self.during:
            self.during.restore(state["during"])
        self.begun = self.spent


def _schedule(spent: float, after: float, step: int) -> float:
    """Return the factor of the learning rate: a linear rise, then a linear fall to 0 at the end of the budget.

    `spent` is the used share of the budget before the step, and `after` that after the step.
    """
    rise = max((step + 1) / WARMUP_STEPS, after / WARMUP_SHARE)
    fall = (1 - spent) / (1 - WARMUP_SHARE)
    return max(min(rise, fall, 1.0), 0.0)


@torch.inference_mode()
def held_out_loss(model: PreTrainedModel, batches: Sequence[Batch], on_batch: Callable[[], None]) -> float:
    """Compute the mean cross-entropy per token over held-out batches; `on_batch` is called before each batch."""
    device = next(model.parameters()).device
    total = count = 0.0
    for batch in batches:
        on_batch()
        here = batch.to(device)
        total += through_head(model, states(model, here), next_token(targets(here))).item()
        count += int(here.counts.sum())
    return total / count
