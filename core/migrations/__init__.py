"""Alembic revisions of the store's schema; `core.database` runs them on first use."""
