"""No program lacks a smoke test: benchmarks declare their tiny arguments, and a test runs each program of `tools`."""

import re

from core.base.paths import PROJECT

TESTS = PROJECT / "tests" / "tools"
RUN = re.compile(r'run_program[(,]\s*"([\w.]+)"')


def programs(folder):
    """Return the modules of a folder that are programs."""
    files = (PROJECT / folder).rglob("*.py")
    named = (
        file.relative_to(PROJECT).with_suffix("") for file in files if '__name__ == "__main__"' in file.read_text()
    )
    return {".".join(one.parts) for one in named}


def test_a_test_runs_each_program_of_tools():
    runs = {module for file in TESTS.rglob("test_*.py") for module in RUN.findall(file.read_text())}
    assert runs == programs("tools") >= {"tools.report.results"}


def test_each_benchmark_declares_tiny_arguments():
    sources = {one: (PROJECT / f"{one.replace('.', '/')}.py").read_text() for one in programs("benchmarks")}
    assert {one for one, source in sources.items() if "\n    run(main, SMOKE)\n" not in source} == set()
    assert "benchmarks.methods.sparsegpt" in sources
