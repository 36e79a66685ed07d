"""The wheel in an environment of its own, and the plug-ins of the guide, of which unusable ones break no other."""

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path

import psutil
import pytest
import torch

from core.base.errors import UserError
from core.base.paths import PLUG_IN_GUIDE, PROJECT
from core.engine import stages
from core.methods.unstructured.base import ScoreMethod
from core.specs import Stage
from tests.core.commands import WORDS
from tests.core.engine.applied import compress
from tests.core.tiny import tiny, windows
from tests.e2e.browser import free_port, wait_until_up


class Installed:
    """The environment, and the home and working folder of a user."""

    def __init__(self, place: Path):
        self.bin = place / "environment" / "bin"
        self.home, self.here = place / "home", place / "here"
        self.packages = next((place / "environment").glob("lib/python*/site-packages"))
        self.env = {name: value for name, value in os.environ.items() if not name.startswith(("SLIMSCOPE", "PYTHON"))}
        self.env |= {"HOME": str(self.home), "XDG_DATA_HOME": str(self.home / "data")}
        self.env |= {"XDG_CACHE_HOME": str(self.home / "cache"), "PYTHONDONTWRITEBYTECODE": "1"}

    def slimscope(self, *arguments: str, **more: str) -> subprocess.CompletedProcess:
        command = [str(self.bin / "slimscope"), *arguments]
        env = self.env | more
        return subprocess.run(command, env=env, cwd=self.here, capture_output=True, text=True, timeout=200)

    def files(self) -> dict[Path, int]:
        return {file: file.stat().st_mtime_ns for file in self.packages.rglob("*") if file.is_file()}


@pytest.fixture(scope="module")
def installed(folder, tmp_path_factory):
    """The wheel, with the dependencies of this environment."""
    place = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--no-deps", "--wheel-dir", str(place), str(PROJECT)], check=True, timeout=300)
    (wheel,) = place.glob("slimscope-*.whl")
    fresh = place / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(fresh)], check=True)
    install = ["--python", str(fresh / "bin" / "python"), "install", "--no-deps", str(wheel)]
    subprocess.run([*pip, *install], check=True, timeout=100)
    known = Installed(place)
    # A folder that a .pth file names is searched last, and the .pth files in it are not read: not that of the checkout.
    (known.packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    for new in (known.home, known.here):
        new.mkdir()
    shutil.copytree(folder / "tiny", known.here / "my-model")
    shutil.copy(folder / "text.txt", known.here / "my-text.txt")
    before = known.files()
    yield known
    assert known.files() == before


def test_the_wheel_contains_only_the_program(installed):
    folders = {file.relative_to(installed.packages).parts[0] for file in installed.files()}
    packages = {name for name in folders if not name.endswith((".dist-info", ".pth"))}
    assert packages == {"core", "dashboard", "slimscope"}


def test_the_command_prints_its_version_and_the_bundled_results(installed):
    version = installed.slimscope("--version")
    assert version.stdout.startswith("slimscope ") and version.returncode == 0
    listed = installed.slimscope("results", "--csv")
    assert listed.returncode == 0, listed.stderr
    assert "sparsegpt@0.5" in listed.stdout and "smollm2-135m" in listed.stdout
    assert "| `ScoredByInputs` |" in installed.slimscope("methods", "--guide").stdout


def test_a_plugin_method_stores_results_in_the_user_data_folder(installed, tmp_path):
    known = {"PYTHONPATH": str(write_plugin(tmp_path))}
    done = installed.slimscope("run", "./my-model", "random@0.5", "--perplexity", "my-text.txt@32:4", **known)
    assert done.returncode == 0, done.stderr
    assert "random@0.5" in done.stdout
    assert (installed.home / "data" / "slimscope" / "local.db").is_file()
    assert (installed.home / "cache" / "slimscope").is_dir()


@pytest.mark.full
def test_the_package_provides_the_python_api_and_the_glossary(installed):
    code = (
        "import slimscope; variant = slimscope.compress('./my-model', 'magnitude@0.25'); "
        "from dashboard.shared.glossary import TERMS; print(variant.chain, 'stages' in TERMS['chain'], "
        "len(slimscope.results('smollm2-135m')) > 1000, slimscope.__file__)"
    )
    command = [str(installed.bin / "python"), "-c", code]
    done = subprocess.run(command, env=installed.env, cwd=installed.here, capture_output=True, text=True, timeout=200)
    file = installed.packages / "slimscope" / "__init__.py"
    assert done.stdout.split() == ["magnitude@0.25", "True", "True", str(file)], done.stderr


@pytest.mark.full
def test_another_package_named_core_ends_the_command_with_an_error(installed, tmp_path):
    (tmp_path / "core.py").touch()
    done = installed.slimscope("--version", PYTHONPATH=str(tmp_path))
    assert done.returncode == 1
    assert (
        done.stderr.startswith("Another package named core hides that of Slimscope") and "Traceback" not in done.stderr
    )
    assert str(tmp_path / "core.py") in done.stderr


@pytest.mark.full
def test_the_dashboard_starts_in_any_folder_and_listens_locally(installed, tmp_path):
    (tmp_path / "core.py").write_text("raise ImportError('not ours')")
    port = free_port()
    command = [str(installed.bin / "slimscope"), "dashboard", "--port", str(port)]
    with open(installed.home / "log", "w+b") as log:
        server = subprocess.Popen(command, env=installed.env, cwd=tmp_path, stdout=log, stderr=subprocess.STDOUT)
        try:
            wait_until_up(f"http://127.0.0.1:{port}/_stcore/health", server)
            listening = [one for one in psutil.Process(server.pid).net_connections() if one.status == "LISTEN"]
            assert {one.laddr.ip for one in listening} == {"127.0.0.1"}
        finally:
            server.terminate()
            server.wait(20)
    assert "Traceback" not in (installed.home / "log").read_text()


SKIPPED = (
    "The method broken of my-package is skipped: ModuleNotFoundError: No module named 'my_package.absent'.",
    "The method kindless of my-package is skipped: Kindless derives from no base class that the engine runs, "
    "such as ScoreMethod.",
    "The method nameless of my-package is skipped: the name None is invalid; give lower-case letters, digits and signs "
    "of - _, such as my-method.",
    "The method chained of my-package is skipped: the name 'a+b@c,d=' is invalid; give lower-case letters, digits and "
    "signs of - _, such as my-method.",
    "The method taken of my-package is skipped: the name wanda is already in use.",
    "The text no-text of my-package is skipped: 'absent.txt' is not the path of a text file.",
    "The metric no-metric of my-package is skipped: 'absent.txt' is not a Metric of core.metrics.",
)
NO_FORMAT = "The format no-format of my-package is skipped: "


@pytest.fixture
def slimscope(machine, folder, tmp_path):
    """Return a function that runs a command with the plug-ins of the guide in the folder of the model."""
    plugin = with_public_modules(write_plugin(tmp_path))
    known = os.environ | {"PYTHONPATH": f"{plugin}{os.pathsep}{PROJECT}"}

    def run(*arguments):
        command = [sys.executable, "-m", "core", *arguments]
        return subprocess.run(command, env=known, cwd=folder, capture_output=True, text=True, timeout=200)

    return run


def test_plugins_are_listed_and_each_unusable_one_is_named(slimscope):
    done = slimscope("methods", "random")
    assert done.stdout.startswith("random: Zeroes weights at random. Amount: ratio or N:M."), done.stderr
    words = " ".join(done.stderr.split())
    assert [one for one in SKIPPED if one not in words] == [], words
    assert NO_FORMAT in words and "Traceback" not in words


class Leaving(ScoreMethod):
    name = "leaving"

    def score(self, weight, statistics):
        raise SystemExit(3)


class Undefined(ScoreMethod):
    name = "undefined"

    def score(self, weight, statistics):
        return torch.full_like(weight, torch.nan)


@pytest.mark.parametrize(
    ("method", "words"),
    [
        (Leaving, "leaving ended the program by sys.exit(3); let it raise an error."),
        (Undefined, "undefined scores some weights as NaN and cannot rank them; correct the method"),
    ],
)
def test_a_score_that_ends_the_program_or_is_no_number_is_one_sentence(method, words, monkeypatch):
    monkeypatch.setattr(stages, "build_method", lambda stage: method())
    with pytest.raises(UserError) as error:
        compress(tiny(), Stage(method=method.name, ratio=0.5), windows())
    assert str(error.value).startswith(words)


@pytest.mark.full
def test_the_commands_of_the_guide_run(slimscope, tmp_path):
    text = ("--perplexity", "my-notes@32:4")
    done = slimscope("run", "./tiny", "random@0.5", "--seed", "3", *text, "--json")
    assert done.returncode == 0, done.stderr
    variant = json.loads(done.stdout)["variant"]
    assert (variant["method"], variant["stages"][0]["seed"]) == ("random", 3)
    assert slimscope("run", "./tiny", "input-squares@0.5", "--calibration", "my-notes:4x32", *text).returncode == 0
    place = tmp_path / "saved"
    saved = slimscope("run", "./tiny", "random@0.5", *text, "--save", str(place), "--format", "with-notice")
    assert saved.returncode == 0 and (place / "NOTICE").read_text() == "Compressed from tiny.\n", saved.stderr
    words = " ".join(slimscope("doctor").stdout.split())  # cells wrap
    for row in (
        "random yes Random, from my_package.methods",
        "with-notice yes With a notice",
        "my-notes yes a text",
        "js yes a metric",
    ):
        assert f"plug-in {row}" in words
    assert "the name wanda is already in use" in words


FILE = re.compile(r"^`([\w./]+)`:\n\n```\w+\n(.*?)^```", re.M | re.S)
FAULTY = """
from slimscope.methods import Method, ScoreMethod


class Kindless(Method):
    name = "kindless"


class Nameless(ScoreMethod):
    name = None


class Chained(ScoreMethod):
    name = "a+b@c,d="


FAULTY = "absent.txt"
"""
FAULTS = {
    "methods": {
        "broken": "my_package.absent:Nothing",
        "kindless": "my_package.faulty:Kindless",
        "nameless": "my_package.faulty:Nameless",
        "chained": "my_package.faulty:Chained",
        "taken": "core.methods.unstructured.wanda:Wanda",
    },
    "formats": {"no-format": "my_package.texts:NOTES"},
    "texts": {"no-text": "my_package.faulty:FAULTY"},
    "metrics": {"no-metric": "my_package.faulty:FAULTY"},
}


def write_plugin(place: Path) -> Path:
    """Write the example of the guide, with further plug-ins that cannot be used."""
    files = dict(FILE.findall(PLUG_IN_GUIDE.read_text(encoding="utf-8")))
    known = tomllib.loads(files.pop("pyproject.toml"))["project"]
    package = place / "my_package"
    package.mkdir()
    files |= {"my_package/faulty.py": FAULTY, "my_package/notes.txt": " ".join(WORDS * 9)}
    for name, content in files.items():
        (place / name).write_text(content)
    lines = []
    for group, entries in known["entry-points"].items():
        lines.append(f"[{group}]")
        every = entries | FAULTS[group.removeprefix("slimscope.")]
        lines += [f"{name} = {value}" for name, value in every.items()]
    info = place / "my_package-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {known['name']}\nVersion: {known['version']}\n")
    (info / "entry_points.txt").write_text("\n".join(lines))
    return place


def with_public_modules(place: Path) -> Path:
    """Add the package `slimscope` of this checkout, as an installation copies it."""
    (place / "slimscope").symlink_to(PROJECT / "core" / "api")
    return place
