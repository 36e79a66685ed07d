"""A machine on which a run has finished, for tests that read its results."""

from functools import cache

import pytest

from tests.core.commands import RUN, copy_machine, finish


@pytest.fixture(scope="session")
def finished(folder, tmp_path_factory):
    """A function that returns the place of the results and the cache of a command, which runs once."""
    return cache(lambda *command: finish(tmp_path_factory.mktemp("finished"), folder, list(command)))


@pytest.fixture
def after(finished, machine, tmp_path):
    """A function that makes `machine` one on which a command has run."""
    return lambda command: copy_machine(finished(*command), tmp_path)


@pytest.fixture
def ran(after):
    """`machine` after `RUN`."""
    after(RUN)
