"""Kinds of jobs: a search is one, and the parent of its trials."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Add the columns; searches that run at the upgrade count as interrupted."""
    op.add_column("jobs", sa.Column("kind", sa.String(16), nullable=False, server_default="run"))
    op.add_column("jobs", sa.Column("parent", sa.Integer))
    op.create_index("ix_jobs_parent", "jobs", ["parent"])
    op.add_column("searches", sa.Column("job", sa.Integer))
    op.drop_column("searches", "handle")
