"""Runs, their artifacts with lineage, their measurements."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "runs",
        sa.Column("name", sa.String(), primary_key=True),
        sa.Column("verb", sa.String(), nullable=False, index=True),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("recipe", sa.Text()),
        sa.Column("environment", sa.JSON()),
    )
    op.create_table(
        "artifacts",
        sa.Column("run", sa.String(), sa.ForeignKey("runs.name", ondelete="CASCADE"), primary_key=True),
        sa.Column("path", sa.String(), primary_key=True),
        sa.Column("digest", sa.String(), nullable=False, index=True),
        sa.Column("task", sa.String(), nullable=False),
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("format", sa.String(), nullable=False),
        sa.Column("precision", sa.String(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
    )
    op.create_table(
        "lineage",
        sa.Column("run", sa.String(), primary_key=True),
        sa.Column("path", sa.String(), primary_key=True),
        sa.Column("parent", sa.String(), primary_key=True, index=True),
        sa.ForeignKeyConstraint(["run", "path"], ["artifacts.run", "artifacts.path"], ondelete="CASCADE"),
    )
    op.create_table(
        "measurements",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("run", sa.String(), sa.ForeignKey("runs.name", ondelete="CASCADE"), nullable=False, index=True),
        sa.Column("quantity", sa.String(), nullable=False, index=True),
        sa.Column("value", sa.Double(), nullable=False),
        sa.Column("low", sa.Double(), nullable=False),
        sa.Column("high", sa.Double(), nullable=False),
        sa.Column("level", sa.Double(), nullable=False),
        sa.Column("unit", sa.String(), nullable=False),
        sa.Column("n", sa.BigInteger(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("artifact", sa.String()),
        sa.Column("device", sa.String()),
        sa.Column("workload", sa.String()),
        sa.Column("when", sa.String(), nullable=False),
        sa.Column("conditions", sa.JSON(), nullable=False),
    )


def downgrade() -> None:
    for table in ("measurements", "lineage", "artifacts", "runs"):
        op.drop_table(table)
