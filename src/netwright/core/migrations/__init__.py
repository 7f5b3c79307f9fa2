"""Alembic's scripts for the schema of `core.db`, shipped with the package."""
