"""Corpora: the identity and the content of each text.

A corpus id names one text. If the sha256 of a text differs from the catalogue's, its id becomes `name@sha8`. The id of
a user's own text file always has this form.
"""

import re
from pathlib import Path

from core.base import plugins
from core.base.errors import echo
from core.base.progress import Progress, silent
from core.data import files
from core.data.catalogue_text import CatalogueText
from core.data.corpus import CorpusSource, CorpusText
from core.data.texts import BY_ID
from core.data.user_text import UserText


def identify_corpus(name: str) -> CorpusSource:
    """Return the id and the source of a catalogue corpus, of a text file's path, or of an earlier id.

    Nothing is fetched. A catalogue text that is not on this machine gets the catalogue's id.
    """
    return _text(name).identify()


def open_corpus(name: str, progress: Progress = silent) -> CorpusText:
    """Read a corpus, and fetch it if needed.

    Raises:
        UserError: There is no such text, or another one has its id on this machine.
    """
    return _text(name).open_text(progress)


def default_corpora() -> tuple[str, str]:
    """Return the corpora for perplexity and calibration: the papers' if on this machine, else the embedded ones."""
    papers = ("wikitext2", "c4-sample")
    if all(files.find(BY_ID[name].file) for name in papers):
        return papers
    return "passages-eval", "passages-calibration"


def _text(name: str) -> CatalogueText | UserText:
    """Return the text of a name, unread: a catalogue id always names the catalogue's text."""
    card = BY_ID.get(re.sub(r"@[0-9a-f]{8}$", "", name))
    return CatalogueText(name, card) if card else UserText(str(PLUG_INS.usable.get(name, name)))


def _plugin(entry: str, found: object) -> tuple[str, Path]:
    """Return the name and the path of a plug-in's text file; raise `ValueError` if there is none."""
    path = Path(str(found))
    if not path.is_file():
        raise ValueError(f"{echo(str(found))} is not the path of a text file")
    return entry, path


PLUG_INS = plugins.load("text", BY_ID, _plugin)
