"""The commands `cluster start` and `cluster slurm`."""

import re
import shlex
from typing import Annotated

import typer

from core.base.errors import UserError, echo
from core.cli.printing.console import messages
from core.jobs.cluster.start import HERE, PORT, TOKEN, start_head

app = typer.Typer(help="Run jobs on several machines with Ray.", rich_markup_mode=None, no_args_is_help=True)
TIME = r"(\d+-)?\d{1,2}(:\d{2}){1,2}"  # of SLURM: [days-]hours:minutes[:seconds]
PASSED = ("SLIMSCOPE_DB", "SLIMSCOPE_STORAGE")  # what all nodes share


@app.callback()
def of_cluster() -> None:
    """Run jobs on several machines with Ray."""


@app.command()
def start(
    host: Annotated[
        str, typer.Option(help="The address that other machines reach; they can then run code here.")
    ] = HERE,
    port: Annotated[int, typer.Option(min=1, max=65535, help="The port of Ray's head.")] = PORT,
    cores: Annotated[int | None, typer.Option(min=1, metavar="N", help="Cores for jobs. Default: all.")] = None,
) -> None:
    """Start the head of a Ray cluster on this machine; `ray stop` ends it.

    By default only this machine reaches it.
    """
    address = start_head(host, port, cores)
    messages.print(f"The Ray cluster is at {address}. To run jobs on it:", markup=False)
    messages.print(f"  SLIMSCOPE_EXECUTOR=ray RAY_ADDRESS={address} slimscope dashboard", markup=False)
    if host == HERE:
        messages.print("Other machines cannot join it; for that, start it with --host ADDRESS.", markup=False)
    else:
        messages.print(f"To add a machine, copy ~/{TOKEN} there, and run on it:", markup=False)
        messages.print(f"  RAY_AUTH_MODE=token ray start --address={address}", markup=False)
        messages.print("Anyone who has this token can run code on the machines of the cluster.", markup=False)


@app.command(context_settings={"allow_interspersed_args": False})
def slurm(
    command: Annotated[
        list[str], typer.Argument(metavar="-- COMMAND", help="A command of slimscope, such as `-- sweep --models ...`.")
    ],
    nodes: Annotated[int, typer.Option(min=1, help="Machines.")] = 1,
    cores: Annotated[int, typer.Option(min=1, help="Cores of each machine.")] = 8,
    gpus: Annotated[int, typer.Option(min=0, help="GPUs of each machine.")] = 0,
    time: Annotated[str, typer.Option(metavar="[D-]HH:MM:SS", help="Time limit.")] = "01:00:00",
    partition: Annotated[str | None, typer.Option(help="The partition; default: SLURM's.")] = None,
) -> None:
    """Print an sbatch script that starts Ray on the machines of an allocation and runs a command on them."""
    typer.echo(slurm_script(command, nodes, cores, gpus, time, partition))


def slurm_script(command: list[str], nodes: int, cores: int, gpus: int, time: str, partition: str | None) -> str:
    """Return the sbatch script; a `UserError` for a value that SLURM would not read."""
    if not re.fullmatch(TIME, time):
        raise UserError(f"The time limit {echo(time)} is not [D-]HH:MM:SS, such as 02:00:00.")
    if partition is not None and not re.fullmatch(r"[\w.,-]+", partition):
        raise UserError(f"The partition {echo(partition)} is not the name of a partition, such as gpu.")
    options = ["--job-name=slimscope", f"--nodes={nodes}", "--ntasks-per-node=1", f"--cpus-per-task={cores}"]
    options += [f"--gpus-per-node={gpus}"] * (gpus > 0)
    options += [f"--time={time}"] + ([f"--partition={partition}"] if partition else [])
    lines = ["#!/bin/bash", *(f"#SBATCH {option}" for option in options), "set -euo pipefail", ""]
    lines += ["# All machines need the same database and the same storage; set both before `sbatch`."]
    lines += [f': "${{{name}:?set it to what all machines share}}"' for name in PASSED]
    lines += [
        "",
        "# A port of its own for each job, as several may share a machine.",
        # Not through a pipe to `head`, which may end before `scontrol` has written all names.
        'read -r head < <(scontrol show hostnames "$SLURM_JOB_NODELIST")',
        'export RAY_ADDRESS="$head:$((20000 + SLURM_JOB_ID % 10000))"',
        'RAY_AUTH_TOKEN="$(ray get-auth-token --generate)"',
        "export RAY_AUTH_TOKEN RAY_AUTH_MODE=token SLIMSCOPE_EXECUTOR=ray RAY_USAGE_STATS_ENABLED=0",
        "",
        'srun --nodes="$SLURM_JOB_NUM_NODES" --ntasks="$SLURM_JOB_NUM_NODES" \\',
        f'  ray symmetric-run --address "$RAY_ADDRESS" --min-nodes "$SLURM_JOB_NUM_NODES" --num-cpus={cores} -- \\',
        f"  slimscope {shlex.join(command)}",
    ]
    return "\n".join(lines)
