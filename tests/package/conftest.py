"""The machine and the model of the tests of the command line."""

from tests.core.conftest import folder, machine

__all__ = ["folder", "machine"]
