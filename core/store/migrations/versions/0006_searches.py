"""Searches and their trials."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Create the tables, and the counter by which processes take turns to begin a search."""
    op.create_table(
        "searches",
        sa.Column("name", sa.String(16), primary_key=True),
        sa.Column("created", sa.Float, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("seconds", sa.Float, nullable=False),
        sa.Column("since", sa.Float),
        sa.Column("stop", sa.Boolean, nullable=False),
        sa.Column("handle", sa.Text),
        sa.Column("heartbeat", sa.Float),
    )
    op.create_table(
        "trials",
        sa.Column("search", sa.String(16), sa.ForeignKey("searches.name", ondelete="CASCADE"), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("trial", sa.Text, nullable=False),
    )
    op.execute("INSERT INTO counters (name, value) VALUES ('searches', 0)")
