"""The catalogue: devices and what is stated, measured, guessed and predicted of them."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "manufacturers",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("name", sa.String(), nullable=False, unique=True),
    )
    op.create_table(
        "architectures",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column(
            "manufacturer_id", sa.Integer(), sa.ForeignKey("manufacturers.id", ondelete="RESTRICT"), nullable=False
        ),
        sa.Column("name", sa.String(), nullable=False),
        sa.UniqueConstraint("manufacturer_id", "name"),
    )
    op.create_table(
        "categories",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("name", sa.String(), nullable=False, unique=True),
        sa.Column("kind", sa.String(), nullable=False),
        sa.CheckConstraint("kind IN ('cpu', 'gpu', 'accelerator')", name="known_kind"),
    )
    op.create_table(
        "processes",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("foundry", sa.String(), nullable=False),
        sa.Column("node", sa.Double(), nullable=False),
        sa.UniqueConstraint("foundry", "node"),
        sa.CheckConstraint("node > 0 AND node < 1e30", name="positive_node"),
    )
    op.create_table(
        "sources",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("key", sa.String(), nullable=False, unique=True),
        sa.Column("title", sa.String(), nullable=False),
        sa.Column("address", sa.String(), nullable=False),
        sa.Column("licence", sa.String(), nullable=False),
        sa.Column("date", sa.String(), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
    )
    op.create_table(
        "devices",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("key", sa.String(), nullable=False, unique=True),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column(
            "manufacturer_id",
            sa.Integer(),
            sa.ForeignKey("manufacturers.id", ondelete="RESTRICT"),
            nullable=False,
            index=True,
        ),
        sa.Column(
            "category_id", sa.Integer(), sa.ForeignKey("categories.id", ondelete="RESTRICT"), nullable=False, index=True
        ),
    )
    op.create_table(
        "device_aliases",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("alias", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False, index=True),
        sa.Column(
            "device_id", sa.Integer(), sa.ForeignKey("devices.id", ondelete="CASCADE"), nullable=False, index=True
        ),
        sa.Column(
            "source_id", sa.Integer(), sa.ForeignKey("sources.id", ondelete="CASCADE"), nullable=False, index=True
        ),
        sa.Column("match_score", sa.Double(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("reviewed", sa.Boolean(), nullable=False),
        sa.UniqueConstraint("source_id", "alias"),
        sa.CheckConstraint("match_score BETWEEN 0 AND 1", name="score_between"),
    )
    op.create_table(
        "chip_specs",
        sa.Column("device_id", sa.Integer(), sa.ForeignKey("devices.id", ondelete="CASCADE"), primary_key=True),
        sa.Column(
            "source_id", sa.Integer(), sa.ForeignKey("sources.id", ondelete="CASCADE"), primary_key=True, index=True
        ),
        sa.Column("architecture_id", sa.Integer(), sa.ForeignKey("architectures.id", ondelete="RESTRICT"), index=True),
        sa.Column("process_id", sa.Integer(), sa.ForeignKey("processes.id", ondelete="RESTRICT"), index=True),
        sa.Column("chip", sa.String()),
        sa.Column("form_factor", sa.String()),
        sa.Column("released", sa.Date(), index=True),
        sa.Column("year", sa.Integer()),
        sa.Column("units", sa.Integer()),
        sa.Column("lanes", sa.Integer()),
        sa.Column("matrix_units", sa.Integer()),
        sa.Column("base_clock", sa.Double()),
        sa.Column("clock", sa.Double()),
        sa.Column("cache", sa.Double()),
        sa.Column("power", sa.Double()),
        sa.Column("die_area", sa.Double()),
        sa.Column("transistors", sa.Double()),
        sa.Column("link", sa.Double()),
        sa.Column("host_link", sa.Double()),
        sa.Column("network", sa.Double()),
        sa.CheckConstraint("base_clock > 0 AND base_clock < 1e30", name="positive_base_clock"),
        sa.CheckConstraint("cache > 0 AND cache < 1e30", name="positive_cache"),
        sa.CheckConstraint("clock > 0 AND clock < 1e30", name="positive_clock"),
        sa.CheckConstraint("die_area > 0 AND die_area < 1e30", name="positive_die_area"),
        sa.CheckConstraint("host_link > 0 AND host_link < 1e30", name="positive_host_link"),
        sa.CheckConstraint("lanes > 0 AND lanes < 1e30", name="positive_lanes"),
        sa.CheckConstraint("link > 0 AND link < 1e30", name="positive_link"),
        sa.CheckConstraint("matrix_units > 0 AND matrix_units < 1e30", name="positive_matrix_units"),
        sa.CheckConstraint("network > 0 AND network < 1e30", name="positive_network"),
        sa.CheckConstraint("power > 0 AND power < 1e30", name="positive_power"),
        sa.CheckConstraint("transistors > 0 AND transistors < 1e30", name="positive_transistors"),
        sa.CheckConstraint("units > 0 AND units < 1e30", name="positive_units"),
    )
    op.create_table(
        "memory_specs",
        sa.Column("device_id", sa.Integer(), sa.ForeignKey("devices.id", ondelete="CASCADE"), primary_key=True),
        sa.Column(
            "source_id", sa.Integer(), sa.ForeignKey("sources.id", ondelete="CASCADE"), primary_key=True, index=True
        ),
        sa.Column("type", sa.String()),
        sa.Column("capacity", sa.Double()),
        sa.Column("bandwidth", sa.Double()),
        sa.Column("bus_width", sa.Integer()),
        sa.Column("clock", sa.Double()),
        sa.CheckConstraint("bandwidth > 0 AND bandwidth < 1e30", name="positive_bandwidth"),
        sa.CheckConstraint("bus_width > 0 AND bus_width < 1e30", name="positive_bus_width"),
        sa.CheckConstraint("capacity > 0 AND capacity < 1e30", name="positive_capacity"),
        sa.CheckConstraint("clock > 0 AND clock < 1e30", name="positive_clock"),
    )
    op.create_table(
        "peak_rates",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column(
            "device_id", sa.Integer(), sa.ForeignKey("devices.id", ondelete="CASCADE"), nullable=False, index=True
        ),
        sa.Column(
            "source_id", sa.Integer(), sa.ForeignKey("sources.id", ondelete="CASCADE"), nullable=False, index=True
        ),
        sa.Column("dtype", sa.String(), nullable=False),
        sa.Column("unit", sa.String(), nullable=False),
        sa.Column("accumulate", sa.String(), nullable=False),
        sa.Column("sparsity", sa.String(), nullable=False),
        sa.Column("value", sa.Double(), nullable=False),
        sa.UniqueConstraint("device_id", "source_id", "dtype", "unit", "accumulate", "sparsity"),
        sa.CheckConstraint("accumulate IN ('fp16', 'fp32', 'int32', 'unknown')", name="known_accumulate"),
        sa.CheckConstraint(
            "dtype IN ('fp64', 'fp32', 'tf32', 'bf16', 'fp16', 'fp8', 'int8', 'fp4', 'int4')", name="known_dtype"
        ),
        sa.CheckConstraint("sparsity IN ('dense', 'sparse')", name="known_sparsity"),
        sa.CheckConstraint("unit IN ('vector', 'matrix')", name="known_unit"),
        sa.CheckConstraint("value > 0 AND value < 1e30", name="positive_value"),
    )
    op.create_table(
        "prices",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column(
            "device_id", sa.Integer(), sa.ForeignKey("devices.id", ondelete="CASCADE"), nullable=False, index=True
        ),
        sa.Column(
            "source_id", sa.Integer(), sa.ForeignKey("sources.id", ondelete="CASCADE"), nullable=False, index=True
        ),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("usd", sa.Double(), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("provider", sa.String(), nullable=False),
        sa.Column("region", sa.String(), nullable=False),
        sa.Column("instance", sa.String(), nullable=False),
        sa.Column("date", sa.Date()),
        sa.Column("note", sa.String(), nullable=False),
        sa.UniqueConstraint("device_id", "source_id", "kind", "provider", "region", "instance", "count"),
        sa.CheckConstraint("kind IN ('release', 'street', 'on_demand', 'spot')", name="known_kind"),
        sa.CheckConstraint("count > 0 AND count < 1e30", name="positive_count"),
        sa.CheckConstraint("usd > 0 AND usd < 1e30", name="positive_usd"),
    )
    op.create_table(
        "workloads",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("name", sa.String(), nullable=False, unique=True),
        sa.Column("flops", sa.Double()),
        sa.Column("bytes", sa.Double()),
        sa.Column("parameters", sa.Double()),
        sa.CheckConstraint("bytes > 0 AND bytes < 1e30", name="positive_bytes"),
        sa.CheckConstraint("flops > 0 AND flops < 1e30", name="positive_flops"),
        sa.CheckConstraint("parameters > 0 AND parameters < 1e30", name="positive_parameters"),
    )
    op.create_table(
        "hardware_measurements",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column(
            "device_id", sa.Integer(), sa.ForeignKey("devices.id", ondelete="CASCADE"), nullable=False, index=True
        ),
        sa.Column(
            "workload_id", sa.Integer(), sa.ForeignKey("workloads.id", ondelete="CASCADE"), nullable=False, index=True
        ),
        sa.Column(
            "source_id", sa.Integer(), sa.ForeignKey("sources.id", ondelete="CASCADE"), nullable=False, index=True
        ),
        sa.Column("row", sa.String(), nullable=False),
        sa.Column("quantity", sa.String(), nullable=False),
        sa.Column("value", sa.Double(), nullable=False),
        sa.Column("unit", sa.String(), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("dtype", sa.String()),
        sa.Column("batch", sa.Integer()),
        sa.Column("conditions", sa.JSON(), nullable=False),
        sa.UniqueConstraint("source_id", "row", "quantity"),
        sa.CheckConstraint("batch > 0 AND batch < 1e30", name="positive_batch"),
        sa.CheckConstraint("count > 0 AND count < 1e30", name="positive_count"),
        sa.CheckConstraint("value > 0 AND value < 1e30", name="positive_value"),
    )
    op.create_table(
        "imputed_values",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column(
            "device_id", sa.Integer(), sa.ForeignKey("devices.id", ondelete="CASCADE"), nullable=False, index=True
        ),
        sa.Column("quantity", sa.String(), nullable=False),
        sa.Column("value", sa.Double(), nullable=False),
        sa.Column("low", sa.Double(), nullable=False),
        sa.Column("high", sa.Double(), nullable=False),
        sa.Column("level", sa.Double(), nullable=False),
        sa.Column("method", sa.String(), nullable=False),
        sa.Column("note", sa.String(), nullable=False),
        sa.UniqueConstraint("device_id", "quantity", "method"),
        sa.CheckConstraint("low <= value AND value <= high AND level > 0 AND level < 1", name="interval"),
        sa.CheckConstraint("high > 0 AND high < 1e30", name="positive_high"),
        sa.CheckConstraint("low > 0 AND low < 1e30", name="positive_low"),
        sa.CheckConstraint("value > 0 AND value < 1e30", name="positive_value"),
    )
    op.create_table(
        "model_runs",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("created", sa.String(), nullable=False),
        sa.Column("metrics", sa.JSON(), nullable=False),
        sa.UniqueConstraint("name", "version"),
        sa.CheckConstraint("status IN ('candidate', 'promoted', 'retired')", name="known_status"),
    )
    op.create_table(
        "predictions",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column(
            "model_run_id", sa.Integer(), sa.ForeignKey("model_runs.id", ondelete="CASCADE"), nullable=False, index=True
        ),
        sa.Column(
            "device_id", sa.Integer(), sa.ForeignKey("devices.id", ondelete="CASCADE"), nullable=False, index=True
        ),
        sa.Column(
            "workload_id", sa.Integer(), sa.ForeignKey("workloads.id", ondelete="CASCADE"), nullable=False, index=True
        ),
        sa.Column("quantity", sa.String(), nullable=False),
        sa.Column("value", sa.Double(), nullable=False),
        sa.Column("low", sa.Double(), nullable=False),
        sa.Column("high", sa.Double(), nullable=False),
        sa.Column("level", sa.Double(), nullable=False),
        sa.Column("unit", sa.String(), nullable=False),
        sa.Column("in_range", sa.Boolean(), nullable=False),
        sa.Column("created", sa.String(), nullable=False),
        sa.Column("conditions", sa.JSON(), nullable=False),
        sa.CheckConstraint("low <= value AND value <= high AND level > 0 AND level < 1", name="interval"),
    )


def downgrade() -> None:
    for table in (
        "predictions",
        "model_runs",
        "imputed_values",
        "hardware_measurements",
        "workloads",
        "prices",
        "peak_rates",
        "memory_specs",
        "chip_specs",
        "device_aliases",
        "devices",
        "sources",
        "processes",
        "categories",
        "architectures",
        "manufacturers",
    ):
        op.drop_table(table)
