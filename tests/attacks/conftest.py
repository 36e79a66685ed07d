"""What the attacks share."""

import pytest

from tests.core.tiny_folder import write_tiny_folder

pytest.register_assert_rewrite("tests.attacks.machine", "tests.attacks.machine")


@pytest.fixture(scope="module")
def tiny_folder(tmp_path_factory):
    """The current folder with `tiny` and `text.txt`, of which nothing is measured."""
    with pytest.MonkeyPatch.context() as patch:
        folder = write_tiny_folder(tmp_path_factory.mktemp("tiny"))
        patch.setenv("SLIMSCOPE_CACHE", str(folder / "cache"))
        patch.chdir(folder)
        yield


@pytest.fixture(scope="session")
def machine(tmp_path_factory):
    from tests.attacks.machine import prepare  # not for a tier without torch

    return prepare(tmp_path_factory.mktemp("machine"))


@pytest.fixture
def place(machine):
    """A new folder with the machine's model, text and results; it is the current one."""
    with machine.place() as folder:
        yield folder


@pytest.fixture
def empty_place(machine):
    """The same without results."""
    with machine.place(filled=False) as folder:
        yield folder
