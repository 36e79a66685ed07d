"""Searches replayed on a table of measured chains: regret after each trial, of the autopilot and of its peers.

    python -m benchmarks.search.autopilot [--budgets 8] [--seeds 8] [--trials 20]

The table is that of `benchmarks.search.replay_table`. A seed divides its windows: the prior knows the effects of single
parts on 6, a search measures on 4, and the other 6 are the truth. The regret is the true loss of the chain that a
search would give, minus the lowest true one within the budget, in nats. Peers get the two parts of a chain as
parameters and the size as a constraint. What does not fit or was tried takes none of their trials, as a size is known
without one. They are told the known loss of a chain that was tried, and the worst known one for one that does not fit.

The second table replays the first two rungs of the races: the share in which the best chain was eliminated. A chain
that passes them counts as measured on all windows of the last one.
"""

import csv
import random
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import optuna
from rich.console import Console
from rich.table import Table

from benchmarks.search.replay_table import DEFAULT_TABLE, NOTHING
from benchmarks.smoke import run
from core.notation.chain import ChainDefaults, parse
from core.request.expected.size import Size
from core.request.resolve import resolve_chain
from core.search.prior import MOST, MeasuredEffect, Prior
from core.search.sampler import ChainSampler, Observation, Residuals
from core.search.space import Candidate, Part, Space
from core.search.trials import RUNGS, loses
from core.specs import Stage, TextWindows

SHOWN = (1, 2, 3, 5, 8, 12, 16, 20)  # trials
WIDTH = 100  # of the printed tables
ASKS = 200  # of a peer for a chain that fits and is new; then it is drawn at random
NOISE = 0.02  # standard deviation of a loss on few windows, in nats, relative to dense
OURS, COLD, GREEDY, RANDOM = "autopilot", "without effects", "sum of effects", "random"
PEERS = {"TPE": optuna.samplers.TPESampler, "GPSampler": optuna.samplers.GPSampler}
DATA = TextWindows(corpus="c4-sample", windows=8, window=512)
EFFECTS, SEARCH = 6, 4  # windows of the prior and of a search; the others are the truth
SMOKE = {"budgets": 1, "seeds": 1, "trials": 2}

Choose = Callable[[list[Observation]], Candidate | None]


class Windows(NamedTuple):
    """The windows of the table, divided."""

    effects: np.ndarray
    search: np.ndarray
    truth: np.ndarray


@dataclass(frozen=True)
class Measured:
    """The table as a space, with the losses of each chain over dense, (blocks, tables, windows) in nats."""

    space: Space
    losses: np.ndarray

    def windows(self, seed: int) -> Windows:
        """Divide the windows at random."""
        count = self.losses.shape[2]
        order = np.array(random.Random(seed).sample(range(count), count))
        return Windows(*np.split(order, (EFFECTS, EFFECTS + SEARCH)))

    def prior(self, windows: np.ndarray) -> Prior:
        """Return the prior that knows each part alone on some windows."""
        means = self.losses[:, :, windows].mean(axis=2)  # (blocks, tables)
        known = [(part, means[place, 0]) for place, part in enumerate(self.space.blocks)]
        known += [(part, means[0, place]) for place, part in enumerate(self.space.tables)]
        return Prior({part.chain: MeasuredEffect(part.stages, float(loss)) for part, loss in known if part.chain})

    def fitting(self, most: float) -> list[Candidate]:
        """Return the chains within a budget of bytes."""
        return [Candidate(*place) for place in np.argwhere(self.space.sizes <= most).tolist() if place != [0, 0]]


def main(budgets: int = 8, seeds: int = 8, trials: int = 20, table: Path = DEFAULT_TABLE, seed: int = 0) -> None:
    """Replay the searches and print the regret of each, and the races."""
    warnings.simplefilter("ignore")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    measured = read(table)
    limits = draw_budgets(measured, budgets, seed)
    regrets = {
        name: np.array(
            [replayed(measured, most, name, number, trials) for most in limits for number in range(seeds)]
        )  # (budgets x seeds, trials)
        for name in (OURS, COLD, GREEDY, *PEERS, RANDOM)
    }
    shown = [count for count in SHOWN if count <= trials]
    console = Console(width=WIDTH)
    printed = Table(title=f"Regret in nats, mean over {budgets} budgets and {seeds} seeds")
    for column in ("after trials", *map(str, shown)):
        printed.add_column(column, justify="right")
    for name, found in regrets.items():
        printed.add_row(name, *(f"{found[:, count - 1].mean():.4f}" for count in shown))
    console.print(printed)
    raced = [races(measured, most, number, trials) for most in limits for number in range(seeds)]
    met = [one for one in raced if one is not None]
    eliminated, windows = sum(one.eliminated for one in met), np.mean([one.windows for one in raced if one])
    printed = Table("searches that tried the best chain", "eliminated it", "share", "windows of a trial, mean")
    printed.add_row(str(len(met)), str(eliminated), f"{100 * eliminated / max(1, len(met)):.1f} %", f"{windows:.1f}")
    console.print(printed)


def read(file: Path) -> Measured:
    """Return the table of a file."""
    with file.open(encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    names = [list(dict.fromkeys(row[side] for row in rows)) for side in ("blocks", "tables")]
    losses = np.full((*map(len, names), sum(name.startswith("loss") for name in rows[0])), np.nan)
    sizes = np.zeros(losses.shape[:2])
    for row in rows:
        place = names[0].index(row["blocks"]), names[1].index(row["tables"])
        losses[place] = [float(row[f"loss{window}"]) for window in range(losses.shape[2])]
        sizes[place] = 1e6 * float(row["packed_mb"])
    sides = zip(names, (sizes[:, 0], sizes[0]), strict=True)
    blocks, tables = (tuple(part(name, size) for name, size in zip(*side, strict=True)) for side in sides)
    return Measured(Space(blocks, tables), losses - losses[0, 0])


def part(chain: str, packed: float) -> Part:
    """Return a part of the table."""
    stages: tuple[Stage, ...] = ()
    if chain != NOTHING:
        stages = resolve_chain(parse(chain), ChainDefaults(calibration=DATA))
    return Part("" if chain == NOTHING else chain, stages, Size(round(packed), 0, 0, 0.0, True))


def draw_budgets(measured: Measured, count: int, seed: int) -> list[float]:
    """Return budgets in bytes, even in logarithms between the smallest chain and the dense model."""
    sizes, draw = measured.space.sizes, random.Random(seed)
    low, high = np.log(sizes.min() * 1.01), np.log(sizes[0, 0] * 0.99)
    return [float(np.exp(draw.uniform(low, high))) for _ in range(count)]


def replayed(measured: Measured, most: float, name: str, seed: int, trials: int) -> list[float]:
    """Return the regret of a search after each trial."""
    fitting = measured.fitting(most)
    windows = measured.windows(seed)
    whole, few = (measured.losses[:, :, each].mean(axis=2) for each in (windows.truth, windows.search))
    least = min(whole[place] for place in fitting)
    prior = Prior({}) if name == COLD else measured.prior(windows.effects)
    residuals = Residuals(measured.space, prior)
    sampler = ChainSampler(measured.space, residuals, most)
    choose: Choose
    if name in (OURS, COLD):
        choose = sampler.choose
    elif name == GREEDY:
        choose = greedy(sampler)
    elif name == RANDOM:
        order = random.Random(seed).sample(fitting, len(fitting))
        choose = lambda seen: order[len(seen)] if len(seen) < len(order) else None  # noqa: E731
    else:
        choose = peer(name, measured, fitting, most, seed)
    seen: list[Observation] = []
    regrets: list[float] = []
    for _ in range(trials):
        place = choose(seen)
        if place is not None:
            seen.append(Observation(place, float(few[place]), NOISE**2))
        best = sampler.ranked(seen)[0] if name in (OURS, COLD) else min(seen, key=lambda one: one.loss).place
        regrets.append(float(whole[best] - least))
    return regrets


def greedy(sampler: ChainSampler) -> Choose:
    """Return a choice in the order of the sums of stored effects."""
    places = [Candidate(*place) for place in sampler.places.tolist() if place != [0, 0]]
    return lambda seen: places[len(seen)] if len(seen) < len(places) else None


def peer(name: str, measured: Measured, fitting: list[Candidate], most: float, seed: int) -> Choose:
    """Return the choice of a sampler of Optuna."""
    kind = PEERS[name]
    study = optuna.create_study(sampler=kind(seed=seed))
    pending: dict[Candidate, optuna.Trial] = {}
    draw, able = random.Random(seed), set(fitting)

    def choose(seen: list[Observation]) -> Candidate | None:
        if seen and seen[-1].place in pending:
            study.tell(pending.pop(seen[-1].place), seen[-1].loss)
        tried = {one.place: one.loss for one in seen}
        for _ in range(ASKS):
            trial = study.ask()
            blocks, tables = measured.space.sizes.shape
            place = Candidate(
                trial.suggest_categorical("blocks", list(range(blocks))),
                trial.suggest_categorical("tables", list(range(tables))),
            )
            trial.set_constraint("size", float(measured.space.sizes[place] / most - 1))
            if place in able and place not in tried:
                pending[place] = trial
                return place
            study.tell(trial, tried.get(place, max(tried.values(), default=MOST)))
        left = [place for place in fitting if place not in tried]
        return draw.choice(left) if left else None

    return choose


@dataclass(frozen=True)
class Race:
    """A search with races that tried the best chain: whether it eliminated it, and the mean windows of a trial."""

    eliminated: bool
    windows: float


def races(measured: Measured, most: float, seed: int, trials: int) -> Race | None:
    """Return what the races of a search did to the best chain within the budget; None if no trial had it."""
    fitting = measured.fitting(most)
    divided = measured.windows(seed)
    whole = measured.losses[:, :, divided.truth].mean(axis=2)  # (blocks, tables)
    best = min(fitting, key=lambda place: float(whole[place]))
    sampler = ChainSampler(measured.space, Residuals(measured.space, measured.prior(divided.effects)), most)
    seen: list[Observation] = []
    leader: Candidate | None = None
    eliminated, windows = False, []
    for place in chosen_places(sampler, seen, trials):
        for rung in RUNGS[:-1]:
            on = divided.search[:rung]
            losses = measured.losses[place][on]
            out = leader is not None and loses(losses, measured.losses[leader][on])
            if out:
                break
        eliminated = eliminated or (out and place == best)
        windows.append(rung if out else RUNGS[-1])
        seen.append(Observation(place, float(losses.mean()), NOISE**2))
        if not out and (leader is None or losses.mean() < measured.losses[leader][on].mean()):
            leader = place
    return Race(eliminated, float(np.mean(windows))) if best in {one.place for one in seen} else None


def chosen_places(sampler: ChainSampler, seen: list[Observation], trials: int) -> Iterator[Candidate]:
    """Yield the chains that a sampler chooses after what was seen so far."""
    for _ in range(trials):
        place = sampler.choose(seen)
        if place is None:
            return
        yield place


if __name__ == "__main__":
    run(main, SMOKE)
