"""Alembic revisions of the store's schema; `core.store.database` runs them on first use."""
