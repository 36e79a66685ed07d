"""The Gaussian process on what the prior misses."""

import numpy as np
import pytest

from core.search.prior import Prior
from core.search.sampler import Observation, Residuals
from core.search.space import Candidate
from tests.core.search.spaces import space

SPACE = space("gptq", "sparsegpt", "rtn")
RESIDUALS = Residuals(SPACE, Prior({}))
ALL = np.array([(blocks, tables) for blocks in range(len(SPACE.blocks)) for tables in range(len(SPACE.tables))])


def place(blocks, tables=""):
    at = [part.chain for part in SPACE.blocks].index(blocks), [part.chain for part in SPACE.tables].index(tables)
    return Candidate(*at)


def of(found, where):
    index = where.blocks * len(SPACE.tables) + where.tables
    return found.loss[index], found.spread[index]


def test_without_observations_the_prior_stands():
    found, prior = RESIDUALS.posterior(ALL, []), Prior({})
    where = place("gptq@4bit", "rtn@8bit,on=embedding")
    parts = [prior.of_chain(SPACE.blocks[where.blocks].stages), prior.of_chain(SPACE.tables[where.tables].stages)]
    assert of(found, where)[0] == pytest.approx(sum(part.loss for part in parts))
    assert of(found, where)[1] > max(part.spread for part in parts)


def test_an_exact_observation_is_reproduced_and_corrects_its_relatives():
    seen, child = place("gptq@3bit"), place("gptq@3bit", "rtn@8bit,on=embedding")
    before = RESIDUALS.posterior(ALL, [])
    error = 0.5
    after = RESIDUALS.posterior(ALL, [Observation(seen, of(before, seen)[0] + error, 1e-9)])
    assert of(after, seen) == (pytest.approx(of(before, seen)[0] + error, abs=1e-3), pytest.approx(0, abs=1e-3))
    assert of(after, child)[0] - of(before, child)[0] == pytest.approx(error, rel=1e-3)
    assert of(after, place("gptq@2bit"))[0] - of(before, place("gptq@2bit"))[0] > 0
    other = place("sparsegpt@0.3")
    assert of(after, other)[0] == pytest.approx(of(before, other)[0])


def test_the_posterior_is_that_of_the_conditional_normal_distribution():
    seen = [place("gptq@3bit"), place("gptq@4bit", "rtn@4bit,on=embedding"), place("sparsegpt@0.5")]
    expected = RESIDUALS.posterior(np.array(seen)).loss
    observations = [Observation(one, loss + 0.1, 0.01) for one, loss in zip(seen, expected, strict=True)]
    targets = np.array([place("gptq@3bit", "rtn@4bit,on=embedding"), place("sparsegpt@0.5", "rtn@2bit,on=embedding")])
    found = RESIDUALS.posterior(targets, observations)
    joint = RESIDUALS._covariance(*[np.concatenate([np.array(seen), targets])] * 2)
    scales = []
    for scale in (0.25, 0.5, 1.0, 2.0, 4.0):
        whole = scale**2 * joint[:3, :3] + 0.01 * np.eye(3)
        logarithm = -0.5 * (np.full(3, 0.1) @ np.linalg.inv(whole) @ np.full(3, 0.1) + np.log(np.linalg.det(whole)))
        scales.append((logarithm, scale))
    scale = max(scales)[1]
    whole = np.linalg.inv(scale**2 * joint[:3, :3] + 0.01 * np.eye(3))
    across = scale**2 * joint[3:, :3]
    assert found.loss - RESIDUALS.posterior(targets).loss == pytest.approx(across @ whole @ np.full(3, 0.1))
    assert found.spread**2 == pytest.approx(np.diag(scale**2 * joint[3:, 3:] - across @ whole @ across.T))
