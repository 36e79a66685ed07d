"""The sweep of a job, and the machine that runs it."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add the columns."""
    op.add_column("jobs", sa.Column("sweep", sa.String(16)))
    op.add_column("jobs", sa.Column("machine", sa.Text))
