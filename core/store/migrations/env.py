"""The environment of Alembic, on the connection and transaction of `core.store.database._upgrade`."""

from alembic import context

from core.store.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,  # SQLite, too: `_upgrade` begins the transaction
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
