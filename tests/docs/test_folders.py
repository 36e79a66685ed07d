"""The folders of the code and its tests."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MOST = 16  # modules in a folder


@pytest.mark.parametrize("top", ["core", "dashboard", "tests", "benchmarks"])
def test_a_folder_has_at_most_16_modules(top):
    files = [file for file in (ROOT / top).rglob("*.py") if file.name not in ("__init__.py", "conftest.py")]
    modules = [file for file in files if not any(part.startswith(".") for part in file.relative_to(ROOT).parts)]
    counts = {str(file.parent.relative_to(ROOT)): 0 for file in modules}
    for file in modules:
        counts[str(file.parent.relative_to(ROOT))] += 1
    assert counts and not {folder: count for folder, count in counts.items() if count > MOST}
