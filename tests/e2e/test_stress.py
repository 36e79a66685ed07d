"""Ten seconds of `tests.stress`."""

import pytest

from tests.stress import stress

pytestmark = [pytest.mark.e2e, pytest.mark.postgres]


def test_two_dashboards_and_four_workers_share_a_database(browser):
    assert " jobs: " in stress(10, browser)
