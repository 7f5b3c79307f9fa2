"""Run by Alembic: migrates over the connection that `core.db` hands in, inside its transaction."""

from alembic import context

context.configure(connection=context.config.attributes["connection"], render_as_batch=True)
context.run_migrations()
