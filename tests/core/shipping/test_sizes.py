"""The stated size of a file is that of the written one, with a tokenizer as large as that of a small model."""

from pathlib import Path

import pytest

from core.base.errors import UserError
from core.base.progress import silent
from core.models.facts import load_shape
from core.request.expected.size import predicted_size
from core.shipping import formats
from core.shipping.export import NO_TEXT, export
from core.shipping.formats import file_columns, file_sentence, file_sizes, find_format
from tests.core.shipping.exported import bpe, made, source_of

NEAR = 0.01
WIDE = {"vocab_size": 2048, "hidden_size": 256, "intermediate_size": 1024, "head_dim": 64, "num_hidden_layers": 4}
WORDS = Path(__file__).parents[3] / "docs/methods.md"
EVERY = ("huggingface", "gguf", "compressed-tensors")
GRID = "rtn@4bit,group_size=32"
CHANNELS = "llm-pruner@0.3,granularity=channel"  # hidden states no longer of whole blocks
CASES = [
    ("dense", EVERY[:2]),
    ("magnitude@0.5", EVERY[:2]),
    ("slimllm@0.3", EVERY[:2]),
    ("svd@0.5", EVERY[:1]),
    (f"{GRID}+{GRID},on=embedding", EVERY),
    (f"{GRID},symmetric=false", EVERY[:2]),
    (f"magnitude@0.5+{GRID}", EVERY),
    (CHANNELS, EVERY[:2]),
    ("rtn@4bit,group_size=0", EVERY),  # one scale for each row
]


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Let the source of a tiny model have a folder with a tokenizer; return both."""
    tokenizer = bpe(vocabulary=WIDE["vocab_size"], text=WORDS.read_text())
    tokenizer.save_pretrained(tmp_path / "source")

    def place(model):
        source = source_of(model).model_copy(update={"folder": tmp_path / "source"})
        monkeypatch.setattr(formats, "identify_again", lambda *_: source)
        return source, tokenizer

    return place


@pytest.mark.parametrize(("chain", "accepted"), CASES)
def test_the_stated_size_is_that_of_the_written_file(chain, accepted, here, tmp_path, monkeypatch):
    monkeypatch.setattr("core.shipping.export.verify_export", lambda *_: NO_TEXT)
    model, result = made(chain, **WIDE, tie_word_embeddings=True)
    source, tokenizer = here(model)
    stated = {one.format: one for one in file_sizes(result.variant, result.counted)}
    assert set(stated) == {find_format(name).label for name in accepted}
    assert [one.bytes for one in stated.values()] == sorted(one.bytes for one in stated.values())
    size = predicted_size(load_shape(source), result.variant.stages)
    before = {one.format: one.bytes for one in file_sizes(result.variant, size)}
    assert (size is None) == (chain == CHANNELS)
    for name in accepted:
        form = find_format(name)
        kind, folder = form.default(result.variant), tmp_path / name
        assert stated[form.label].type == form.type_name(kind)
        model, _ = made(chain, **WIDE, tie_word_embeddings=True)  # an export may change the precision of a model
        export(model, tokenizer, result, source, folder, form, kind, silent)
        files = list(folder.glob("*.gguf")) or list(folder.iterdir())
        written = sum(file.stat().st_size for file in files)
        assert stated[form.label].bytes == pytest.approx(written, rel=NEAR), name
        assert size is None or before[form.label] == pytest.approx(written, rel=NEAR), name


@pytest.mark.parametrize("kind", ["Q4_0", "Q8_0"])
def test_narrower_hidden_states_are_stated_in_the_types_that_they_need(kind, here, tmp_path, monkeypatch):
    monkeypatch.setattr("core.shipping.export.verify_export", lambda *_: NO_TEXT)
    model, result = made(CHANNELS, **WIDE, tie_word_embeddings=True)
    source, tokenizer = here(model)
    stated = find_format("gguf").size(result.variant, source, result.counted, kind)
    export(model, tokenizer, result, source, tmp_path / "out", find_format("gguf"), kind, silent)
    (file,) = (tmp_path / "out").glob("*.gguf")
    assert stated == pytest.approx(file.stat().st_size, rel=NEAR)


def test_sizes_are_words_by_format_and_a_model_that_is_gone_has_none(here, monkeypatch):
    model, result = made("rtn@4bit,group_size=32", tie_word_embeddings=True)
    here(model)
    known = result.variant, result.counted
    columns = file_columns(*known)
    assert list(columns)[:3] == ["compressed-tensors", "GGUF", "Hugging Face"]
    assert [words.split()[0] for words in list(columns.values())[:3]] == ["bf16", "Q4_0", "fp32"]
    assert file_sentence(*known).startswith(f"As a file: GGUF {columns['GGUF']}; compressed-tensors bf16 ")
    assert file_sentence(result.variant, None) == ""

    def gone(*_):
        raise UserError("There is no such folder.")

    monkeypatch.setattr(formats, "identify_again", gone)
    assert file_sizes(*known) == [] and set(file_columns(*known).values()) == {""}
