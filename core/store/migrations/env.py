"""Run by Alembic on the connection, with its transaction, that `core.store.database.upgrade` gives."""

from alembic import context

from core.store.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,  # SQLite too: the transaction is begun by hand
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
