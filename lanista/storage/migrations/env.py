"""Run by alembic: apply migrations on the connection that `lanista.storage.migration` hands over."""

from alembic import context

from lanista.storage.schema import VERSION_TABLE, metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    render_as_batch=True,  # SQLite cannot alter a column: alembic copies the table
)
with context.begin_transaction():
    context.run_migrations()
