"""An index that says which variants of a model have changed."""

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_index("variants_of_model", "variants", ["model", "updated", "key"])
