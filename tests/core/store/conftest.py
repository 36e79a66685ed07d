"""What the tests of the store share: no bundled results but their own, and databases of earlier versions."""

import pytest

from core.base import paths


@pytest.fixture(autouse=True)
def bundled_folder(results_dir, tmp_path, monkeypatch):
    """The folder of bundled results, which does not exist yet."""
    monkeypatch.setattr(paths, "SHIPPED_MEASURED", tmp_path / "measured")
    return tmp_path / "measured"
