"""Claims of jobs with a token and a lease, and a handle of the process that only its executor reads."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Change the columns; running jobs are queued again, as processes of earlier versions cannot write to the table."""
    op.add_column("jobs", sa.Column("token", sa.String(32)))
    op.add_column("jobs", sa.Column("lease", sa.Float))
    op.add_column("jobs", sa.Column("handle", sa.Text))
    for name in ("supervisor", "pid", "process_created"):
        op.drop_column("jobs", name)
    jobs = sa.table("jobs", *map(sa.column, ("state", "stage", "detail", "heartbeat", "cancel", "finished")))
    running = sa.update(jobs).where(jobs.c.state == "running")
    asked = jobs.c.cancel.is_not(None)
    op.execute(running.where(asked).values(state="cancelled", finished=jobs.c.cancel))
    op.execute(running.values(state="queued", stage="", detail="", heartbeat=None))
