"""Fixtures that every test shares."""

import os
import random
from pathlib import Path

import pytest
from hypothesis import settings

from tests import databases

pytest_plugins = ["tests.tiers"]
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
# No example is drawn by chance where nobody looks, and none is timed.
settings.register_profile("slimscope", database=None, deadline=None, derandomize="CI" in os.environ)
for name, examples in {"attacks": 100, "attacks-long": 1_000}.items():
    settings.register_profile(
        name, database=None, deadline=None, derandomize=False, print_blob=True, max_examples=examples
    )
settings.load_profile("slimscope")
# Their assertions are reported with the values that they compare, as those of test files are.
pytest.register_assert_rewrite("tests.core.contract")


def pytest_collection_modifyitems(config, items):
    """Leave out the tests of PostgreSQL on a machine without it; the project's own check has it and runs all."""
    if "CI" in os.environ or databases.binaries():
        return
    lacking = [item for item in items if item.get_closest_marker("postgres")]
    config.hook.pytest_deselected(items=lacking)
    items[:] = [item for item in items if item not in lacking]


@pytest.fixture(scope="session", autouse=True)
def quick_databases(tmp_path_factory):
    with databases.quick(tmp_path_factory.mktemp("migrated") / "local.db"):
        yield


@pytest.fixture(scope="session", autouse=True)
def steady_speed():
    """A machine without stored runs is always as fast, whatever else it does."""
    from core.request.expected import speeds

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(speeds, "product_speed", lambda: 40e9)
        patch.setattr(speeds, "CPU_INFO", Path("absent"))
        yield


@pytest.fixture
def results_dir(tmp_path, monkeypatch):
    """An empty folder for the user's own results, without bundled rows."""
    monkeypatch.setenv("SLIMSCOPE_RESULTS", str(tmp_path / "results"))
    monkeypatch.delenv("SLIMSCOPE_DB", raising=False)
    return tmp_path / "results"


@pytest.fixture(scope="session")
def postgres_server():
    with databases.server() as running:
        yield running


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=[pytest.mark.postgres, pytest.mark.full])])
def database(request, results_dir, monkeypatch):
    """Each kind of database in turn, empty and the one that a store opens; the name of its kind."""
    if request.param == "postgresql":
        monkeypatch.setenv("SLIMSCOPE_DB", request.getfixturevalue("postgres_server").new_database())
    return request.param


@pytest.fixture
def draw(request):
    """A generator of details, which depends on the test and on `--hypothesis-seed`."""
    return random.Random(f"{request.config.getoption('--hypothesis-seed')} {request.node.nodeid}")


@pytest.fixture(scope="session")
def frame():
    """Made-up results with three seeds of one Wanda point."""
    from core.findings.numbers.frame import tidy
    from tests.synthetic import curve, result

    return tidy([*curve(), result("wanda", 46.0, 0.5, seed=1), result("wanda", 41.0, 0.5, seed=2)])


@pytest.fixture(scope="session")
def perplexities(frame):
    """(points, dense) of the made-up curve."""
    from core.findings.rows import points

    rows = frame[frame["metric"] == "perplexity"]
    dense = rows["method"] == "dense"
    return points.collapse(rows[~dense]), points.collapse(rows[dense])
