"""The commands `jobs`, `jobs cancel` and `jobs retry`."""

from typing import Annotated

import typer

from core.base.errors import UserError
from core.cli.groups import DEFAULT, DefaultGroup
from core.cli.printing.console import messages
from core.cli.printing.layout import Row
from core.cli.printing.tables import print_table
from core.jobs.doing import Outlook
from core.jobs.queue import Job, Queue
from core.jobs.supervisor import ACTIVE
from core.notation.formatting import format_duration
from core.search.question import work_title
from core.store.store import Store

HELP = """List the jobs: runs, searches and questions, those of the dashboard included; cancel one, or repeat one.

`jobs cancel ID` cancels a job, and the trials of a search with it. `jobs retry ID` queues an ended one again."""

app = typer.Typer(cls=DefaultGroup, help=HELP, rich_markup_mode=None)
JobId = Annotated[int, typer.Argument(metavar="ID", help="The number of a job, as `jobs` prints it.")]


@app.callback()
def of_jobs() -> None:
    """Leave the choice to the subcommands."""


@app.command(DEFAULT)
def list_jobs(limit: Annotated[int, typer.Option(min=1, metavar="N", help="At most so many jobs.")] = 20) -> None:
    """List the newest jobs, the newest first."""
    store = Store()
    works = Queue(store).works(limit=limit)
    if not works:
        messages.print("There are no jobs; the page Run and `slimscope autopilot` make them.", markup=False)
    outlook = Outlook(store)
    print_table([_row(work, outlook) for work in works])


@app.command()
def cancel(job: JobId) -> None:
    """Cancel a job; finished measurements are stored."""
    queue = Queue(Store())
    if (state := queue.state(job)) not in ACTIVE:
        raise UserError(f"Job {job} has ended: {state}. Only queued and running jobs can be cancelled.")
    queue.cancel(job)
    messages.print(f"Job {job} is {'cancelled' if state == 'queued' else 'being cancelled'}.", markup=False)


@app.command()
def retry(job: JobId) -> None:
    """Queue an ended job again; a search goes on where it stopped."""
    new = Queue(Store()).retry(job)
    messages.print(f"Job {new} is queued; it runs while a dashboard does.", markup=False)


def _row(work: Job, outlook: Outlook) -> Row:
    since = work.finished or work.started or work.created
    return {
        "id": str(work.id),
        "kind": work.kind,
        "job": work_title(work),
        "state": work.state,
        "since": format_duration(work.read - since),
        "progress": outlook.words(work) if work.active else work.error or "",
    }
