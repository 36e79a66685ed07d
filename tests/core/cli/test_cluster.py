"""The commands of a cluster: a head that only this machine reaches, and a script for SLURM that shells accept."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil
import pytest

from core.base.errors import UserError
from core.cli.app import main
from core.cli.cluster import slurm_script
from core.jobs.cluster import start
from tests.e2e.browser import free_port

SHELLCHECK = Path(sys.executable).with_name("shellcheck")
SWEEP = ["--", "sweep", "--models", "smollm2-135m", "--chain", "wanda@0.5,layers=layers\\.(0|1)\\."]


def test_the_script_for_slurm_is_clean_and_keeps_the_command(output_of, tmp_path):
    script = tmp_path / "job.sh"
    script.write_text(
        output_of("cluster", "slurm", "--nodes", "4", "--cores", "16", "--gpus", "2", "--partition", "gpu", *SWEEP)
    )
    subprocess.run(["bash", "-n", script], check=True)
    subprocess.run([SHELLCHECK, script], check=True)
    assert "#SBATCH --gpus-per-node=2" in script.read_text()
    fakes = tmp_path / "bin"
    fakes.mkdir()
    for name, line in {
        "scontrol": "printf 'n1\\nn2\\n'",
        "srun": 'while [ "$1" != -- ]; do shift; done; shift; exec "$@"',
        "ray": "echo secret",
        "slimscope": 'printf "%s\\n" "$RAY_ADDRESS" "$SLIMSCOPE_EXECUTOR" "$RAY_AUTH_MODE:$RAY_AUTH_TOKEN" "$@"',
    }.items():
        (fakes / name).write_text(f"#!/bin/bash\n{line}\n")
        (fakes / name).chmod(0o755)
    given = {"SLURM_JOB_NODELIST": "n[1-2]", "SLURM_JOB_ID": "17", "SLURM_JOB_NUM_NODES": "2"}
    given |= {"SLIMSCOPE_DB": "postgresql://h/d", "SLIMSCOPE_STORAGE": "/s"}
    environment = os.environ | given | {"PATH": f"{fakes}:{os.environ['PATH']}"}
    done = subprocess.run(["bash", script], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["n1:20017", "ray", "token:secret", *SWEEP[1:]]
    del environment["SLIMSCOPE_DB"]
    failed = subprocess.run(["bash", script], env=environment, capture_output=True, text=True, check=False)
    assert failed.returncode and "SLIMSCOPE_DB: set it to what all machines share" in failed.stderr


@pytest.mark.parametrize(("time", "partition", "words"), [("soon", None, "'soon' is not"), ("01:00", "a b", "'a b'")])
def test_a_value_that_slurm_does_not_read_is_refused(time, partition, words):
    with pytest.raises(UserError, match=words):
        slurm_script(SWEEP[1:], 1, 8, 0, time, partition)


@pytest.fixture
def short_folder():
    """A folder with a short path, as those of sockets are limited."""
    with tempfile.TemporaryDirectory(prefix="r", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@pytest.mark.full
@pytest.mark.ray
def test_only_this_machine_reaches_a_head_by_default(capsys, short_folder, monkeypatch):
    monkeypatch.setattr(start, "TEMPORARY", short_folder)
    port = free_port()
    assert main(["cluster", "start", "--port", str(port), "--cores", "1"]) == 0
    try:
        assert f"RAY_ADDRESS=127.0.0.1:{port} slimscope dashboard" in capsys.readouterr().err
        bound = {
            one.laddr.ip
            for process in psutil.process_iter(["cmdline"])
            if str(short_folder) in " ".join(process.info["cmdline"] or ())
            for one in process.net_connections("tcp")
            if one.status == psutil.CONN_LISTEN
        }
        assert bound and bound <= {"127.0.0.1", "::ffff:127.0.0.1", "::1"}
    finally:
        for process in psutil.process_iter(["cmdline"]):
            if str(short_folder) in " ".join(process.info["cmdline"] or ()):
                process.kill()


def test_a_port_of_rays_workers_is_refused(error_of):
    words = "Port 16399 is one of 10002 to 19999, which Ray's workers use; give"
    assert error_of("cluster", "start", "--port", "16399").startswith(words)


def test_a_head_that_does_not_start_is_one_sentence(error_of, capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    assert main(["cluster", "start"]) == 2
    assert (
        capsys.readouterr().err.strip() == "Ray is not installed; run pip install '.[ray]' in a checkout of Slimscope."
    )
    (tmp_path / "ray").write_text("#!/bin/sh\necho first >&2\necho 'the port 1 is taken' >&2\nexit 3\n")
    (tmp_path / "ray").chmod(0o755)
    assert error_of("cluster", "start", "--port", "1").strip() == "Ray did not start: the port 1 is taken"
