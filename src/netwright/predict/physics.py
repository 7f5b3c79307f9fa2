"""Times of single kernels from what a chip can do at most: products in tiles, memory, launches, power.

    chip = Chip.of(specs)
    made = product(chip, m=m, n=n, k=k, rate=specs.rate("bf16"), left=2.0, right=2.0, out=2.0)
    made.time                                            # (rows,), s

A few constants hold for all chips alike. They are clock cycles or shares of a peak, so that they say something of
chips that nobody measured. They are fitted by least absolute deviation (in logs) on products of matrices, NVIDIA
aiconfigurator's tables (Apache-2.0); Ampere and Hopper alone tell nearly the same as all rows, save `near` and
`copies`, which are from the RTX PRO 6000, whose memory is slow and whose cache is large.

What this file does not know: which kernel a library picks, how much more of its rate one chip reaches than another,
the clock under load, kernels that run at once. The forms: roofline, Williams et al. (2009); products in waves of
tiles bounded by the roofline of a tile, Lee et al., NeuSight (ASPLOS 2025); splitting along k, Osama et al.,
Stream-K (PPoPP 2023).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from netwright.predict.learning.table import Floats, Specs


@dataclass(frozen=True, kw_only=True)
class Constants:
    """What holds for all chips alike. The values here are what Ampere and Hopper tell; see `gemm.fit_constants`."""

    launch: float = 2300.0
    """Cycles that an empty kernel takes when it is launched from a graph."""
    call: float = 4600.0
    """Cycles that a small kernel beside the one in question adds."""
    wave: float = 3100.0
    """Cycles to fill and drain a wave of tiles."""
    split: float = 4400.0
    """Cycles to add up the parts of a product that was split along k."""
    step: float = 105.0
    """Cycles that a tile needs at least for 64 steps along k."""
    stream: float = 8600.0
    """Cycles until memory delivers at its full rate."""
    reached: float = 0.84
    """Share of the stated bandwidth that a kernel reaches."""
    peak: float = 0.89
    """Share of the stated rate that full tiles reach where power does not limit."""
    operands: float = 52.0
    """FLOP in 16 bit that a unit does in the time in which it reads one byte of operands."""
    per_flop: float = 0.08e-12
    """J: a rate falls by the factor 1 + per_flop / (W per FLOP/s)."""
    near: float = 6.5
    """Bytes a cycle that a unit reads from the shared cache, of data that stay there between runs."""
    copies: float = 4.5
    """Benchmarks go round so many copies of the weights: smaller ones stay in the cache."""


USUAL = Constants()
SLOW_MEMORY = {"Intel": 0.5}
"""Where systems/b60.yaml of aiconfigurator states another share than `reached`: about 220 of 456 GB/s."""
HELD = 0.95
"""Share of the stated 16-bit rate that a card without a power limit holds in large products: 0.90 to 0.95 (RTX 3090
and 4090, largest of timm's networks)."""
ENOUGH = 2.0
"""W for 1e12 FLOP/s at 4 nm, below which the clock has to fall: between cards that do not slow down (RTX 4090: 2.7)
and those that do (0.6 to 0.7: RTX PRO 6000 Max-Q here, L4 and H100 in MLPerf's results). At low clocks the voltage
falls too, so the rate falls with the root of the power. Passes over memory draw less, and fall by the power 0.4 of
that, which of 0, 0.4 and 0.8 suited the three GPUs of timm's tables best."""
NODE = 0.75
"""Energy of an operation falls with the process node to this power."""
STACKED = 12e9
"""B/s for each unit, beyond which memory is stacked (HBM: A100 19e9, H100 25e9; GeForce cards have at most 11.4e9)
and does not compete with the units for the power. An assumption: no row of timm's tables is of such a device."""
NARROW = 1300.0
"""FLOP in 16 bit of a unit in a clock, up to which its operations cost what those of consumer cards do (1,024)."""
CLOCK, UNITS = 1.7e9, 100.0
"""Stand in where no source says them; the median accelerator of the catalogue."""

TILES = np.array([(m, n, s) for m in (64, 128, 192, 256) for n in (16, 32, 64, 128, 256) for s in (1, 2, 4, 8, 16)])
"""Rows and columns of a tile, and the parts along k: what the best of is taken."""
ROWS_AT_ONCE = 4096


@dataclass(frozen=True, kw_only=True)
class Chip:
    """What the forms below need of each row's device, (rows,), without gaps save in `power`."""

    units: Floats
    clock: Floats
    cache: Floats
    """B; 0 where unknown, so that nothing stays in it."""
    memory: Floats
    """B/s that kernels reach."""
    power: Floats
    held: Floats
    """Share of the stated rate that the power limit allows; 1 where the units are wide or memory is stacked."""
    operands: Floats
    """B/s at which one unit reads operands."""
    constants: Constants

    @classmethod
    def of(cls, specs: Specs, constants: Constants = USUAL) -> Chip:
        units = np.where(specs.units > 0, specs.units, UNITS)
        reached = np.full(len(units), constants.reached)
        for maker, share in SLOW_MEMORY.items():
            reached[specs.manufacturer == maker] = share
        return cls(
            units=units,
            clock=np.where(specs.clock > 0, specs.clock, CLOCK),
            cache=np.nan_to_num(specs.cache),
            memory=specs.bandwidth * reached,
            power=specs.power,
            held=_held(specs),
            operands=specs.rate("bf16") / units / constants.operands,
            constants=constants,
        )

    def take(self, rows: slice) -> Chip:
        arrays = {name: values[rows] for name, values in vars(self).items() if name != "constants"}
        return Chip(constants=self.constants, **arrays)


def sustained(specs: Specs) -> tuple[Floats, Floats]:
    """Shares of the stated 16-bit or 8-bit matrix rate and of the bandwidth that the power limit allows."""
    process = np.array([np.nan if d.process is None else d.process for d in specs.devices], dtype=float)[specs.which]
    shrink = np.nan_to_num(process / 4e-9, nan=1.0) ** NODE
    watts = specs.power / (specs.rate("fp16") / 1e12) / shrink
    fall = np.sqrt(np.minimum(1.0, np.nan_to_num(watts / ENOUGH, nan=1.0)))
    stacked = np.nan_to_num(specs.bandwidth / specs.units, nan=0.0) > STACKED
    cpu = specs.kind.astype(str) == "cpu"
    return np.where(cpu, 1.0, HELD * fall), np.where(stacked | cpu, 1.0, fall**0.4)


def _held(specs: Specs) -> Floats:
    """What cards of narrow units and plain memory hold of their 16-bit rate, as whole networks told.

    The RTX PRO 6000 of 300 W is the same chip as that of 600 W, and networks run on it at little over half of its
    stated rate; the wide units of data-centre chips spend less on each operation.
    """
    narrow = specs.rate("fp16") <= NARROW * specs.units * specs.clock
    share, flow = sustained(specs)
    return np.where(narrow & (flow < 1), share, 1.0)


def launch(chip: Chip) -> Floats:
    """Of an empty kernel, s."""
    return chip.constants.launch / chip.clock


def calls(chip: Chip, count: ArrayLike) -> Floats:
    """Of small kernels before or after, s."""
    return np.asarray(count) * chip.constants.call / chip.clock


def slowed(chip: Chip, rate: Floats) -> Floats:
    """FLOP/s of full tiles: the stated rate times `peak`, less what the power allows; unlimited where it is unknown."""
    limited = 1 + chip.constants.per_flop * rate / np.where(chip.power > 0, chip.power, np.inf)
    return rate * np.minimum(chip.constants.peak / limited, chip.held)


def streamed(chip: Chip, moved: Floats, kept: Floats | None = None) -> Floats:
    """To move so many bytes, s, without the start; `kept` bytes must fit in the cache for it to deliver them."""
    memory = moved / chip.memory
    if kept is None:
        return memory
    inside = np.clip((chip.cache / np.maximum(kept, 1.0) - 0.8) / 0.4, 0, 1)
    near = np.minimum(memory, moved / (chip.units * chip.constants.near * chip.clock))
    return (1 - inside) * memory + inside * near


def started(chip: Chip, time: Floats) -> Floats:
    """The same with the start of the stream: small transfers take at least twice as long, large ones `stream` more."""
    start = chip.constants.stream / chip.clock
    return time + start * time / (time + start)


def joined(*times: Floats, sharpness: float = 2.7) -> Floats:
    """Of parts that overlap: somewhat more than the longest."""
    total = sum(np.maximum(time, 0) ** sharpness for time in times)
    return np.asarray(total ** (1 / sharpness))


@dataclass(frozen=True, kw_only=True)
class Product:
    """Of each row: parts of the time of a product of matrices in s, and how it was cut."""

    time: Floats
    """Without the launch."""
    tiles: Floats
    """Of the arithmetic in its best tiles."""
    memory: Floats
    waves: Floats
    parts: Floats
    """Along k."""


def product(
    chip: Chip, *, m: Floats, n: Floats, k: Floats, rate: Floats, left: ArrayLike, right: ArrayLike, out: ArrayLike,
    count: ArrayLike = 1.0, moved: Floats | None = None, kept: Floats | None = None,
) -> Product:  # fmt: skip
    """(m, k) times (k, n), `count` times side by side; `left`, `right` and `out` are bytes an element.

    `moved` bytes go through memory (all operands once, where not given), `kept` as in `streamed`.
    """
    shape = np.shape(m)
    left, right, out, count = (np.broadcast_to(np.asarray(x, float), shape) for x in (left, right, out, count))
    every = count * (m * k * left + k * n * right + m * n * out)
    memory = streamed(chip, every if moved is None else moved, every if kept is None else kept)
    full = slowed(chip, rate)
    tiles, waves, parts = np.empty(shape), np.empty(shape), np.empty(shape)
    for at in range(0, len(tiles), ROWS_AT_ONCE):
        rows = slice(at, at + ROWS_AT_ONCE)
        own = (x[rows, None] for x in (m, n, k, full, left, right, count))
        tiles[rows], waves[rows], parts[rows] = _best(chip.take(rows), *own)
    time = joined(tiles, started(chip, memory))
    return Product(time=time, tiles=tiles, memory=memory, waves=waves, parts=parts)


def _best(
    chip: Chip, m: Floats, n: Floats, k: Floats, full: Floats, left: Floats, right: Floats, count: Floats
) -> tuple[Floats, Floats, Floats]:
    """Least time over TILES, its waves and parts, each (rows,); arguments are (rows, 1)."""
    units, clock, operands = chip.units[:, None], chip.clock[:, None], chip.operands[:, None]
    high, wide, split = TILES.T.astype(float)
    told = chip.constants
    busy = np.ceil(m / high) * np.ceil(n / wide) * split * count / units
    waves = np.ceil(busy)
    step = np.maximum(2 * high * wide * units / full, (high * left + wide * right) / operands)
    deep = np.ceil(k / split / 64) * 64
    time = waves * (deep * np.maximum(step, told.step / 64 / clock) + told.wave / clock)
    parted = told.split / clock + split * m * n * count * 8 / (units * operands)
    time = np.where(split > 1, np.where(k / split < 256, np.inf, time + parted), time)
    best = time.argmin(axis=1)
    rows = np.arange(len(best))
    return time[rows, best], waves[rows, best], split[best]
