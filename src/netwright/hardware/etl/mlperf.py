"""MLPerf inference results (Apache-2.0): closed division, with all that MLCommons asks to cite.

The open division is left out: 24,119 of 31,322 rows, nearly all sweeps of ResNets on edge boards. Generative
results are labelled "Samples/s" and "Queries/s" where they hold tokens/s; a rule puts that right.
MLPerf is a trademark of MLCommons; its results may not be compared with results that are not MLPerf's.
"""

from __future__ import annotations

from collections.abc import Iterator

from netwright.hardware.etl import read
from netwright.hardware.etl.kaggle import maker
from netwright.hardware.etl.row import Result, Row

NEEDED = ("version", "Organization", "Division", "SystemName", "MlperfModel", "Scenario", "Result", "Result_Units",
          "accelerator_model_name", "accelerators_per_node", "uid")  # fmt: skip
UNITS = {
    "Samples/s": ("throughput", 1.0, "samples/s"),
    "Queries/s": ("throughput", 1.0, "queries/s"),
    "Tokens/s": ("throughput", 1.0, "tokens/s"),
    "Latency (ms)": ("latency", 1e-3, "s"),
    "Watts": ("power", 1.0, "W"),
    "millijoules": ("energy", 1e-3, "J"),
}
CITED = {
    "submitter": "Organization", "version": "version", "division": "Division", "system": "SystemName",
    "availability": "Availability", "scenario": "Scenario", "accuracy": "Accuracy", "software": "framework",
    "result": "uid", "address": "url",
}  # fmt: skip


def rows(data: bytes) -> Iterator[Row | tuple[str, str]]:
    """A row a result of one accelerator's model, or where it stands and why it is not taken."""
    for at, cells in read.table(data, NEEDED, "MLPerf results"):
        yield (at, cells) if isinstance(cells, str) else _row(at, cells)


def _row(at: str, cells: read.Cells) -> Row | tuple[str, str]:
    if cells["Division"] != "closed":
        division = cells["Division"] or "no"
        return at, f"{division} division: the model may be another than the benchmark's"
    name = cells["accelerator_model_name"]
    if name in ("", "-"):
        return at, "no accelerator is named"
    if cells["Result_Units"] not in UNITS:
        return at, f"the unit {cells['Result_Units'][:40]!r} is not known"
    if not cells["uid"]:
        return at, "it has no result ID to cite"
    count = read.number(cells["accelerators_per_node"])
    nodes = read.number(cells.get("number_of_nodes", "")) or 1.0
    watts = cells["Result_Units"] in ("Watts", "millijoules")
    value = read.number(cells["Result"] or (cells.get("Result_Power", "") if watts else ""))
    if not isinstance(count, float) or not isinstance(nodes, float) or not 0 < count * nodes < 1e6:
        return at, "it does not say on how many accelerators"
    if not isinstance(value, float):
        return at, "its result is no number"
    quantity, scale, unit = UNITS[cells["Result_Units"]]
    cited = {key: cells.get(column, "") for key, column in CITED.items()}
    cited["version"] = "v" + cited["version"].removeprefix("v")
    results = [(quantity, value * scale, unit)]
    power, power_unit = read.number(cells.get("Result_Power", "")), UNITS.get(cells.get("Result_Power_Units", ""))
    if isinstance(power, float) and power_unit is not None and not watts:
        results.append((power_unit[0], power * power_unit[1], power_unit[2]))
    workload = f"MLPerf inference/{cells['MlperfModel']}"
    told = tuple(
        Result(
            row=cells["uid"], workload=workload, quantity=q, value=v, unit=u, count=int(count * nodes), conditions=cited
        )
        for q, v, u in results
    )
    made = maker(name)
    return Row(at, name, {}, made, "accelerator" if made == "unknown" else "GPU", (), told)
