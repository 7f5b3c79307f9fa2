"""Tiers and matrices over the catalogue, as views; 0003_views.sql holds `hardware.views.statements()` of its day."""

from pathlib import Path

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

VIEWS = tuple(Path(__file__).with_suffix(".sql").read_text(encoding="utf-8").rstrip(";\n").split(";\n\n"))


def upgrade() -> None:
    for statement in VIEWS:
        op.get_bind().exec_driver_sql(statement)


def downgrade() -> None:
    for statement in reversed(VIEWS):
        op.get_bind().exec_driver_sql(f"DROP VIEW {statement.split()[2]}")
