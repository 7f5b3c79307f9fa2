"""PassMark's and Geekbench's scores as two CSV files that circulate on Kaggle: to import, never to ship.

`benchmarks` is GPU_benchmarks_v7.csv (2,317 names), `graphics` GPU_scores_graphicsAPIs.csv (1,213). Their
column `brand` is guessed (AMD for 1,188 of 2,317) and is not read: the maker follows from the name, or not.
Scores are of games and of graphics APIs; no rate or bandwidth can be read off them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from netwright.hardware.etl import read
from netwright.hardware.etl.row import Price, Result, Row, Value

SCORES = {"G3Dmark": "PassMark G3D Mark", "G2Dmark": "PassMark G2D Mark"}
APIS = ("CUDA", "Metal", "OpenCL", "Vulkan")

MAKERS = (
    (r"GeForce|Quadro|Tesla|GRID|TITAN|NVS|nForce|NVIDIA|^RTX|^G[TF]X? ?\d|^(?:[ALMPTKVH]\d{1,4}|MX\d+)\b", "NVIDIA"),
    (r"Radeon|FirePro|FireGL|FireMV|Mobility|Ryzen|Athlon|Instinct|\bAMD\b|^A\d+-|\bATI\b|R[579] ", "AMD"),
    (r"Intel|Iris|UHD|\bHD Graphics|\bArc\b", "Intel"),
    (r"Apple|\bM1\b", "Apple"),
    (r"Adreno|Qualcomm", "Qualcomm"),
    (r"Mali", "ARM"),
    (r"Matrox", "Matrox"),
)
"""What a name says of its maker, the first that fits."""

SPELLED = {"Nvidia": "NVIDIA"}


def maker(name: str) -> str:
    """The maker a name gives away, or "unknown"."""
    return next((made for pattern, made in MAKERS if re.search(pattern, name, re.IGNORECASE)), "unknown")


def _category(name: str, said: str) -> str:
    if re.search(r"Laptop|Mobile|Mobility|\d+M[X]?\b|Max-Q", name) or "Mobile" in said:
        return "laptop GPU"
    return {"Desktop": "desktop GPU", "Workstation": "workstation GPU"}.get(said.strip(), "GPU")


def benchmarks(data: bytes) -> Iterator[Row | tuple[str, str]]:
    """PassMark: scores, price and power by name."""
    for at, cells in read.table(data, ("gpuName", *SCORES, "price", "TDP", "testDate"), "GPU_benchmarks"):
        if isinstance(cells, str):
            yield at, cells
            continue
        name = cells["gpuName"]
        power, price = read.number(cells["TDP"]), read.number(cells["price"])
        values: dict[str, Value] = {} if power is None else {"power": power}
        prices: tuple[Price, ...] = ()
        if isinstance(price, float):
            prices = (Price(kind="street", usd=price, provider="PassMark"),)
        when = {"tested": cells["testDate"]}
        results = tuple(_scores(at, cells, SCORES, when))
        yield Row(
            at,
            name,
            values,
            maker(name),
            _category(name, cells.get("category", "")),
            prices,
            results,
        )


def graphics(data: bytes) -> Iterator[Row | tuple[str, str]]:
    """Geekbench 5: a score by name and programming interface."""
    for at, cells in read.table(data, ("Manufacturer", "Device", *APIS), "GPU_scores_graphicsAPIs"):
        if isinstance(cells, str):
            yield at, cells
            continue
        said = cells["Manufacturer"]
        columns = {api: f"Geekbench 5 {api}" for api in APIS}
        results = tuple(_scores(at, cells, columns, {}))
        name = cells["Device"]
        yield Row(at, name, {}, SPELLED.get(said, said or "unknown"), _category(name, ""), (), results)


def _scores(at: str, cells: read.Cells, columns: dict[str, str], conditions: dict[str, str]) -> Iterator[Result]:
    for column, workload in columns.items():
        score = read.number(cells[column])
        if isinstance(score, float):
            row = f"{at} {column}"
            yield Result(
                row=row, workload=workload, quantity="score", value=score, unit="points", conditions=conditions
            )
