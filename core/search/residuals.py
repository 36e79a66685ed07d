"""A Gaussian process on what the prior misses: the measured minus the expected effect of each chain.

Chains that share a part share its error, and parts of one method share some of theirs. So each measurement corrects all
chains that have something in common with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from core.search.prior import Prior
from core.search.space import Candidate, Part, Space

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


class _Side:
    """The parts of one kind: expected effects, standard deviations of their errors, and numbers of their methods."""

    def __init__(self, parts: Sequence[Part], prior: Prior):
        effects = [prior.of_chain(part.stages) for part in parts]
        self.loss, self.spread = (np.array([effect[field] for effect in effects]) for field in (0, 1))  # (parts,)
        methods = [tuple(stage.method for stage in part.stages) for part in parts]
        known = {one: number for number, one in enumerate(dict.fromkeys(methods))}
        self.method = np.array([known[one] for one in methods])  # (parts,)

    def covariance(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Return the covariances of the errors of parts (N,) and (M,), as (N, M)."""
        same = (first[:, None] == second[None, :]).astype(float)
        alike = (self.method[first][:, None] == self.method[second][None, :]).astype(float)
        scale = self.spread[first][:, None] * self.spread[second][None, :]
        shared: np.ndarray = scale * (OF_METHOD * alike + (1 - OF_METHOD) * same)
        return shared


class Residuals:
    """The expectations of a space after some observations."""

    def __init__(self, space: Space, prior: Prior):
        self.blocks, self.tables = _Side(space.blocks, prior), _Side(space.tables, prior)

    def posterior(
        self, places: np.ndarray, observations: Sequence[Observation] = (), least_scale: float = SCALES[0]
    ) -> Expectation:
        """Return the expectations of chains (K, 2) after the observations, with errors of at least a scale."""
        mean, variance = self._mean(places), self._variance(places)
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
        whole: np.ndarray = self.blocks.loss[places[:, 0]] + self.tables.loss[places[:, 1]]
        return whole

    def _own(self, places: np.ndarray) -> np.ndarray:
        """Return the standard deviation of the own error of chains (K, 2); a part alone has none."""
        smaller = np.minimum(np.abs(self.blocks.loss[places[:, 0]]), np.abs(self.tables.loss[places[:, 1]]))
        both = (places > 0).all(axis=1)
        own: np.ndarray = np.where(both, OF_CHAIN[0] + OF_CHAIN[1] * smaller, 0.0)
        return own

    def _covariance(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Return the covariances of the errors of chains (N, 2) and (M, 2), as (N, M)."""
        same = (first[:, None, :] == second[None, :, :]).all(axis=2)  # (N, M)
        own = self._own(first)[:, None] * self._own(second)[None, :] * same
        parts = self.blocks.covariance(first[:, 0], second[:, 0]) + self.tables.covariance(first[:, 1], second[:, 1])
        whole: np.ndarray = parts + own
        return whole

    def _variance(self, places: np.ndarray) -> np.ndarray:
        whole: np.ndarray = (
            self.blocks.spread[places[:, 0]] ** 2 + self.tables.spread[places[:, 1]] ** 2 + self._own(places) ** 2
        )
        return whole


def _likelihood(covariance: np.ndarray, errors: np.ndarray) -> float:
    """Return the log-likelihood of errors (n,) with this covariance (n, n), without its constant."""
    sign, determinant = np.linalg.slogdet(covariance)
    if sign <= 0:
        return -np.inf
    return float(-0.5 * (errors @ np.linalg.solve(covariance, errors) + determinant))
