"""Two checkpoints in folders of one last name are two models in every command."""

import shutil

import pytest

from core.base import paths
from core.base.errors import UserError
from core.cli.app import main
from core.imports.files import read_imports
from core.models.names import short_revision
from core.models.sources import identify
from core.request.reproduce import reproduce
from core.store.store import Store
from tests.core.commands import SWEEP, finish
from tests.core.imports.given import sheet
from tests.core.tiny import tiny

RATIOS = ("0.1", "0.3", "0.5")
MEASURE = SWEEP[-2:]  # perplexity


@pytest.fixture(scope="module")
def measured(folder, tmp_path_factory):
    """The results of `w3/ckpt` and `w4/ckpt`, whose weights differ."""
    place = tmp_path_factory.mktemp("checkpoints")
    shutil.copy(folder / "text.txt", place)
    sweep, sweeps = [*SWEEP, "--methods", "magnitude", "--ratios", ",".join(RATIOS)], []
    for seed, of in enumerate(("w3", "w4")):
        shutil.copytree(folder / "tiny", place / of / "ckpt")
        tiny("llama-gqa", seed=seed).save_pretrained(place / of / "ckpt")
        sweeps.append([f"{of}/ckpt" if word == "./tiny" else word for word in sweep])
    return finish(place, place, *sweeps)


@pytest.fixture
def here(measured, monkeypatch, tmp_path):
    """A copy of the measured results, in the folder of both checkpoints; their display names."""
    shutil.copytree(measured / "results", tmp_path / "results")
    monkeypatch.setenv("SLIMSCOPE_CACHE", str(measured / "cache"))
    monkeypatch.setenv("SLIMSCOPE_RESULTS", str(tmp_path / "results"))
    monkeypatch.setenv("COLUMNS", "400")
    monkeypatch.setattr(paths, "SHIPPED_MEASURED", tmp_path / "measured")
    monkeypatch.chdir(measured)
    return [f"ckpt@{short_revision(identify(f'{of}/ckpt').revision)}" for of in ("w3", "w4")]


def refused(capsys, *arguments) -> str:
    assert main(list(arguments)) == 2
    return " ".join(capsys.readouterr().err.split())


def test_a_name_or_folder_filters_the_table(here, output_of, capsys, folder, tmp_path, monkeypatch):
    for of, name in zip(("w3", "w4"), here, strict=True):
        for typed in (name, f"{of}/ckpt"):
            lines = output_of("results", typed, "--tsv").splitlines()
            assert len(lines) == 5 and all(name in line for line in lines[1:])
    assert len(output_of("results", "ckpt", "--tsv").splitlines()) == 9
    other = shutil.copytree(folder / "tiny", tmp_path / "other")
    tiny("llama-gqa", seed=9).save_pretrained(other)
    monkeypatch.chdir(tmp_path)
    assert "`slimscope run ./other dense` measures it." in refused(capsys, "results", "./other")


def test_a_comparison_names_both_and_pairs_no_perplexity(here, output_of, capsys):
    keys = {one.variant.revision: one.variant.key[:8] for one in Store().results() if one.variant.method == "dense"}
    shown = output_of("compare", *keys.values())
    assert all(f"dense, {name}" in shown for name in here) and "cannot be paired" in shown
    assert "several dense models" in refused(capsys, "compare", "dense", *keys.values())


def test_an_ambiguous_name_is_rejected_with_both_paths(here, output_of, capsys, measured):
    message = refused(capsys, "run", "ckpt", "dense", *MEASURE)
    assert all(f"{measured}/{of}/ckpt" in message for of in ("w3", "w4")) and all(name in message for name in here)
    for name in here:
        assert name in output_of("run", name, "magnitude@0.5", *MEASURE)
    assert len(Store().results()) == 8  # all were there
    assert {reproduce(one).split()[2] for one in Store().results()} == set(here)


def test_a_given_name_is_a_separate_model(here, output_of, capsys):
    shown = output_of("run", "w4/ckpt", "magnitude@0.5", "--name", "four", *MEASURE)
    assert "four" in shown and "ckpt" not in shown
    four = [one.variant for one in Store().results() if one.variant.model == "four"]
    assert {f"ckpt@{short_revision(variant.revision)}" for variant in four} == {here[1]} and len(four) == 2
    sweep = ["sweep", "--models", "w4/ckpt", "--name", "four", "--methods", "magnitude", "--ratios", "0.5", *MEASURE]
    assert output_of(*sweep, "--tsv").count("four") == 2 and len(Store().results()) == 10
    assert "four" in output_of("run", "four", "dense", *MEASURE)
    assert "is for one model, but the sweep has 2" in refused(capsys, *sweep[:2], "w3/ckpt,w4/ckpt", *sweep[3:])


def test_an_import_needs_an_unambiguous_checkpoint(here):
    def imported(model):
        header = "model,label,ratio,metric,dataset,value,n,window,windows"
        row = f"{model},mine,0.5,perplexity,wikitext2,9,4,32,4"
        return read_imports([sheet(row, header=header)], None, Store()).results[0].variant

    with pytest.raises(UserError, match=f"'ckpt' is ambiguous; give {here[0]} or {here[1]}."):
        imported("ckpt")
    with pytest.raises(UserError, match="revision 0000"):
        imported("ckpt@0000")
    variants = [imported(name) for name in here]
    assert {one.model for one in variants} == {"ckpt"} and len({one.revision for one in variants}) == 2
