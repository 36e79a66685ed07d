"""A machine on which a run has finished, for tests that read its results."""

import pytest

from tests.core.commands import RUN, copy_machine, finish


@pytest.fixture(scope="session")
def finished(folder, tmp_path_factory):
    """The place of the results and the cache of `RUN`."""
    return finish(tmp_path_factory.mktemp("finished"), folder, RUN)


@pytest.fixture
def ran(finished, machine, tmp_path):
    """`machine` after `RUN`."""
    copy_machine(finished, tmp_path)
