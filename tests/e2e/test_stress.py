"""Twenty seconds of `tests.stress`."""

import pytest

from tests.e2e.browser import require_chromium
from tests.stress import stress

pytestmark = [pytest.mark.e2e, pytest.mark.postgres]


def test_two_dashboards_and_four_workers_share_a_database():
    require_chromium()
    assert " jobs: " in stress(20)
