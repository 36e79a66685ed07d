"""Counters of changes in place of times, and the machine that submitted a job."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the counters and the columns; the counts follow the order of the times."""
    counters = op.create_table(
        "counters",
        sa.Column("name", sa.String(16), primary_key=True),
        sa.Column("value", sa.BigInteger, nullable=False),
    )
    op.add_column("variants", sa.Column("changed", sa.BigInteger, nullable=False, server_default="0"))
    connection = op.get_bind()
    variants = sa.table("variants", sa.column("key"), sa.column("updated"), sa.column("changed"))
    keys = connection.scalars(sa.select(variants.c.key).order_by(variants.c.updated, variants.c.key)).all()
    for place, key in enumerate(keys, start=1):
        connection.execute(sa.update(variants).where(variants.c.key == key).values(changed=place))
    op.bulk_insert(counters, [{"name": "results", "value": len(keys)}, {"name": "jobs", "value": 0}])
    op.drop_index("variants_of_model", "variants")
    op.create_index("variants_of_model", "variants", ["model", "changed", "key"])
    op.drop_column("variants", "updated")
    op.add_column("jobs", sa.Column("host", sa.Text))
