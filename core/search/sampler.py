"""The sampler of the autopilot: the allowed chain with the highest expected improvement per second.

The seconds count less the less time is left (cost cooling: Lee et al., Cost-aware Bayesian Optimization, 2020,
arXiv:2003.10870). At the end, time that is saved helps no other chain.

A Gaussian process expects what the prior misses: the measured minus the expected effect of each chain.

Chains that share a part share its error, and parts of one method share some of theirs. So each measurement corrects all
chains that have something in common with it.
"""

from collections.abc import Callable, Sequence
from functools import cache
from itertools import islice
from math import inf
from typing import NamedTuple

import numpy as np

from core.search.prior import Prior
from core.search.space import Candidate, Space

FIRST = 0.5  # share of the time that the first chain may take, if any takes no more
LEAST_GAIN = 1e-9  # nats of a chain that is tried; with less, the best is about five standard errors below it
# Chains whose seconds are estimated for a choice, and until one fits; an estimate takes about a millisecond.
ESTIMATES, MOST_ESTIMATES = 200, 2000

FRONT_POINTS = 60  # about
ABOVE_FLOOR = 0.05  # nats by which a chain may be better than the best, the dense model and its own expectation
OF_METHOD = 0.5  # share of the variance of a part's error that the parts of its method have in common
OF_CHAIN = 0.05, 0.2  # standard deviation of a chain's own error: nats, and a share of its smaller effect
SCALES = (0.25, 0.5, 1.0, 2.0, 4.0)  # of all standard deviations; the likeliest is used


class Observation(NamedTuple):
    """A measured effect in nats, with the variance of its error."""

    place: Candidate
    loss: float
    variance: float


class Expectation(NamedTuple):
    """The expected effects of some chains and the standard deviations of their errors, (K,) each in nats."""

    loss: np.ndarray
    spread: np.ndarray


class Residuals:
    """The expectations of a space after some observations."""

    def __init__(self, space: Space, prior: Prior):
        parts = (*space.blocks, *space.tables)
        self._first = np.array([0, len(space.blocks)])  # of each kind among them
        self._loss, self._spread = np.array([prior.of_chain(part.stages) for part in parts]).T  # (parts,) each
        methods = ["+".join(stage.method for stage in part.stages) for part in parts]
        self._method = np.unique(methods, return_inverse=True)[1]  # numbers, (parts,)

    def posterior(
        self, places: np.ndarray, observations: Sequence[Observation] = (), least_scale: float = SCALES[0]
    ) -> Expectation:
        """Return the expectations of chains (K, 2) after the observations, with errors of at least a scale."""
        mean = self._mean(places)
        variance = (self._spread[places + self._first] ** 2).sum(axis=1) + self._own(places) ** 2  # (K,)
        if not observations:
            return Expectation(mean, np.sqrt(variance))
        at = np.array([one.place for one in observations])  # (n, 2)
        errors = np.array([one.loss for one in observations]) - self._mean(at)  # (n,)
        noise = np.diag([one.variance for one in observations])  # (n, n)
        inside, across = self._covariance(at, at), self._covariance(places, at)  # (n, n), (K, n)
        scales = (one for one in SCALES if one >= least_scale)
        scale = max(scales, key=lambda one: _likelihood(one**2 * inside + noise, errors))
        whole = scale**2 * inside + noise  # (n, n)
        solved = np.linalg.solve(whole, np.column_stack([errors, scale**2 * across.T]))  # (n, 1 + K)
        explained = np.einsum("kn,nk->k", scale**2 * across, solved[:, 1:])  # (K,)
        spread = np.sqrt(np.maximum(scale**2 * variance - explained, 1e-12))
        return Expectation(mean + scale**2 * across @ solved[:, 0], spread)

    def _mean(self, places: np.ndarray) -> np.ndarray:
        whole: np.ndarray = self._loss[places + self._first].sum(axis=1)
        return whole

    def _own(self, places: np.ndarray) -> np.ndarray:
        """Return the standard deviation of the own error of chains (K, 2); a part alone has none."""
        smaller = np.abs(self._loss[places + self._first]).min(axis=1)
        return np.where((places > 0).all(axis=1), OF_CHAIN[0] + OF_CHAIN[1] * smaller, 0.0)

    def _covariance(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Return the covariances of the errors of chains (N, 2) and (M, 2), as (N, M)."""
        one, other = (first + self._first)[:, None], (second + self._first)[None, :]  # (N, 1, 2), (1, M, 2)
        same, alike = one == other, self._method[one] == self._method[other]  # (N, M, 2)
        parts = self._spread[one] * self._spread[other] * (OF_METHOD * alike + (1 - OF_METHOD) * same)
        whole: np.ndarray = parts.sum(axis=2) + self._own(first)[:, None] * self._own(second) * same.all(axis=2)
        return whole


def _likelihood(covariance: np.ndarray, errors: np.ndarray) -> float:
    """Return the log-likelihood of errors (n,) with this covariance (n, n), without its constant."""
    sign, determinant = np.linalg.slogdet(covariance)
    if sign <= 0:
        return -np.inf
    return float(-0.5 * (errors @ np.linalg.solve(covariance, errors) + determinant))


class ChainSampler:
    """Chooses chains by the expectations of `Residuals`. A trial that runs counts as measured at its expectation."""

    def __init__(
        self,
        space: Space,
        residuals: Residuals,
        most_bytes: float,  # of a chain
        seconds: Callable[[Candidate], float] = lambda place: 1.0,  # of the trial of a chain
        left: Callable[[], float] = lambda: inf,  # the seconds that a trial may take
        whole: float = 1.0,  # seconds of the search; with fewer left, those of a trial count less
    ):
        self.space, self.residuals, self.seconds, self.left, self.whole = space, residuals, seconds, left, whole
        fitting = np.argwhere(space.sizes <= most_bytes)  # (K, 2)
        order = np.argsort(residuals.posterior(fitting).loss, kind="stable")
        self.places = fitting[order]  # (K, 2), the best expected first
        self.is_legal = cache(space.legal)  # whether the parts of a chain go together

    def choose(self, seen: Sequence[Observation], running: Sequence[Candidate] = ()) -> Candidate | None:
        """Return the next chain, or None if no other one fits the budget and the time and may be better.

        The first chain is a quick one that may be the best. It takes at most half of the time, if any does.

        Args:
            seen: The measured chains.
            running: The chains whose trials run, or were cut off too often.
        """
        places, gain, margin = self._promising(seen, running)
        left = self.left()
        if margin is None:
            share = min(1.0, left / self.whole)
            fitting = self._fitting(places, gain, left)
            return max(fitting, key=lambda one: one[1] / one[2] ** share, default=(None, 0.0, 0.0))[0]
        fitting = self._fitting(places, gain, FIRST * left) or self._fitting(places, gain, left)
        good = [one for one in fitting if one[1] >= fitting[0][1] - margin]
        return min(good, key=lambda one: one[2], default=(None, 0.0, 0.0))[0]

    def seconds_of_all(self, seen: Sequence[Observation], running: Sequence[Candidate], most: float) -> float:
        """Return the seconds of all chains that may be better, or `most` if they take longer."""
        total = 0.0
        for place in map(Candidate._make, self._promising(seen, running)[0].tolist()):
            if total >= most:
                return most
            total += self.seconds(place) if self.is_legal(place) else 0.0
        return min(total, most)

    def least_seconds(self) -> float:
        """Return the seconds of the quickest chain that the first one is chosen from; infinite without any."""
        legal = (place for place in map(Candidate._make, self.places.tolist()) if self.is_legal(place))
        return min(map(self.seconds, islice(legal, MOST_ESTIMATES)), default=inf)

    def _promising(
        self, seen: Sequence[Observation], running: Sequence[Candidate]
    ) -> tuple[np.ndarray, np.ndarray, float | None]:
        """Return the new chains that fit the budget and may be better, (K, 2), the best first, and their gains, (K,).

        The third value is None once a chain was measured. Before, gains may be negative, and a chain may be the best if
        its gain is at most this much below the highest.
        """
        tried = {one.place for one in seen} | set(running)
        new = np.array([tuple(place) not in tried for place in self.places.tolist()], dtype=bool)
        places = self.places[new]
        if not len(places):
            return places, np.zeros(0), 0.0
        known = list(seen)
        if running:
            expected = self.residuals.posterior(np.array(running), seen)
            known += [Observation(one, loss, 0.0) for one, loss in zip(running, expected.loss.tolist(), strict=True)]
        found = self.residuals.posterior(places, known)
        best = min((one.loss for one in seen), default=None)
        gain = -found.loss if best is None else expected_improvement(found, best)
        order = np.argsort(-gain, kind="stable")
        if best is not None:  # few good predictions do not show that the errors are smaller than the prior's
            cautious = expected_improvement(self.residuals.posterior(places, known, least_scale=1.0), best)
            order = order[cautious[order] >= LEAST_GAIN]
        return places[order], gain[order], None if best is not None else float(found.spread[order[0]])

    def ranked(self, seen: Sequence[Observation]) -> list[Candidate]:
        """Return the measured chains, the one with the lowest expected effect first.

        Prior and measurements together err less than few windows alone, of whose lowest losses some are luck.
        """
        if not seen:
            return []
        places = [one.place for one in seen]
        losses = self.residuals.posterior(np.array(places), seen).loss
        return [places[number] for number in np.argsort(losses, kind="stable").tolist()]

    def front(self) -> list[list[float]]:
        """Return MB and expected effect of the legal chains that are better than all smaller ones, for a chart."""
        sizes = self.space.sizes
        every = np.argwhere(sizes > 0)  # (K, 2)
        losses = self.residuals.posterior(every).loss
        order = np.lexsort((losses, sizes[tuple(every.T)]))
        points: list[list[float]] = []
        for place, loss in zip(map(Candidate._make, every[order].tolist()), losses[order].tolist(), strict=True):
            if (not points or loss < points[-1][1]) and self.is_legal(place):
                points.append([float(sizes[place]) / 1e6, loss])
        return points[:: max(1, len(points) // FRONT_POINTS)]

    def _fitting(self, places: np.ndarray, gain: np.ndarray, left: float) -> list[tuple[Candidate, float, float]]:
        """Return some legal chains that take at most `left` seconds, with their gains and seconds, in their order."""
        ordered = zip(map(Candidate._make, places.tolist()), gain.tolist(), strict=True)
        legal = ((place, value) for place, value in ordered if self.is_legal(place))
        fitting: list[tuple[Candidate, float, float]] = []
        for number, (place, value) in enumerate(legal):
            if number >= (ESTIMATES if fitting else MOST_ESTIMATES):
                break
            if (seconds := self.seconds(place)) <= left:
                fitting.append((place, value, seconds))
        return fitting


def expected_improvement(found: Expectation, best: float) -> np.ndarray:
    """Return by how many nats each chain is expected to be better than the best, (K,) >= 0.

    Errors are shares of the effects. So an effect above its floor is lognormal, and one of several nats is never small.
    """
    from scipy.special import ndtr

    floor = np.minimum(found.loss, min(0.0, best)) - ABOVE_FLOOR  # (K,)
    mean, target = found.loss - floor, best - floor  # (K,) > 0 each
    width = np.sqrt(np.log1p((found.spread / mean) ** 2))  # (K,) of the logarithm
    z = np.log(target / mean) / width + width / 2  # (K,)
    improvement: np.ndarray = np.maximum(target * ndtr(z) - mean * ndtr(z - width), 0.0)
    return improvement
