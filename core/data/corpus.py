"""The identity and the content of a corpus."""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from core.data.instructions import Pair, is_instructions, read_pairs
from core.data.texts import Corpus
from core.specs import Frozen


class CorpusSource(Frozen):
    """The id and the source of a corpus."""

    id: str
    source: str  # where the text comes from, or would come from


@dataclass(frozen=True)
class CorpusText:
    """A corpus that was read, and the name that it was read by."""

    name: str
    identity: CorpusSource
    text: str  # for perplexity
    card: Corpus | None = None  # of the catalogue; None for a user's file
    rows: tuple[str, ...] = ()  # of the catalogue's file
    instructions: tuple[Pair, ...] = ()  # of the catalogue's file, if its rows are instructions

    @property
    def documents(self) -> list[str]:
        """The rows of the catalogue's file, or the paragraphs or pairs of a user's file."""
        if self.card:
            return [row for row in self.rows if row.strip()]
        if (pairs := self.pairs) is not None:
            return ["".join(pair) for pair in pairs]
        return [part for part in re.split(r"\n\s*\n", self.text) if part.strip()]

    @property
    def pairs(self) -> list[Pair] | None:
        """(prompt, answer) pairs; None if it is plain text. Raises `UserError` for a file of other content."""
        if self.card:
            return list(self.instructions) if self.card.instructions else None
        return read_pairs(self.text, self.name) if is_instructions(Path(self.identity.id)) else None


def text_sha256(content: str) -> str:
    """Compute the hex digest of a text."""
    return hashlib.sha256(content.encode()).hexdigest()
