"""The package of the guide to plug-ins, as an installer leaves it: modules and their metadata in one folder."""

import re
import tomllib
from pathlib import Path

from core.base.paths import PLUG_IN_GUIDE, PROJECT
from tests.core.commands import WORDS

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
