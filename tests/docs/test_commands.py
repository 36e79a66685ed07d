"""Every bundled variant prints a command, and the command line reads the same variant from it."""

import shlex

import pytest
from typer.main import get_command

from core.cli.app import app
from core.cli.options import long_form
from core.notation.chain import ChainDefaults
from core.request.reproduce import reproduce
from core.request.resolve import resolve_chain
from core.specs import VariantSpec
from core.store.bundled import read_measured

BUNDLED = read_measured().results
RUN = get_command(app).commands["run"]


@pytest.mark.parametrize("key", BUNDLED, ids=[key[:12] for key in BUNDLED])
def test_a_bundled_variant_prints_a_command_with_its_key(key):
    variant = BUNDLED[key].variant
    for line in reproduce(BUNDLED[key]).splitlines():
        program, command, *words = shlex.split(line)
        assert (program, command) == ("slimscope", "run")
        asked = RUN.make_context("run", words).params
        chain = long_form(asked["chain"], asked["ratio"], asked["pattern"], {}, asked["layers"])
        stages = resolve_chain(chain, ChainDefaults(asked["calibration"], asked["train"], asked["seed"]))
        spec = {"model": asked["model"], "revision": variant.revision, "dtype": asked["dtype"], "stages": stages}
        assert VariantSpec(**spec).key == key
