"""An index for the changed variants of a model."""

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Create the index."""
    op.create_index("variants_of_model", "variants", ["model", "updated", "key"])
