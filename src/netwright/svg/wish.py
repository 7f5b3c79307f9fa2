"""What a person wants of an SVG, and which of several traces comes nearest to it.

    wish = Wish(max_bytes=20_000, mode="curves")
    min(traced, key=lambda one: wish.order(one, floor))

Nothing here traces or predicts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from netwright.core.error import UserError, did_you_mean
from netwright.svg import setting
from netwright.svg.measured import Traced
from netwright.svg.setting import MENU, Setting

Aim = Literal["bytes", "ssim"]
SAME = 0.002
"""SSIM that is not told apart from the default's where nothing else is wished for."""
TIE = 0.0005
"""Among traces that fit a budget, a difference in SSIM below this is none."""
CORNERS = 1.5
"""A drawn curve may have so many times the corners that the default's has: with more it is made of facets."""
SPARE = 2
"""Corners that are always allowed on top."""
NEXT = "netwright svg trace --help"


@dataclass(frozen=True)
class Wish:
    """Limits, each None where there is none; the outlines allowed; or a preset to trace with. Raises UserError.

    With `min_ssim`, the fewest bytes are sought; with `max_bytes` or `max_paths` alone, the largest likeness that
    fits. Without any, the fewest bytes at the likeness of VTracer's default (SAME).
    """

    min_ssim: float | None = None
    max_bytes: int | None = None
    max_paths: int | None = None
    mode: setting.Wish = "auto"
    preset: str | None = None

    def __post_init__(self) -> None:
        if self.min_ssim is not None and not 0 < self.min_ssim <= 1:
            raise UserError("--min-ssim", self.min_ssim, "a number above 0, at most 1", NEXT)
        for name in ("max_bytes", "max_paths"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UserError(f"--{name.replace('_', '-')}", value, "a whole number from 1", NEXT)
        if self.mode not in get_args(setting.Wish):
            raise UserError("--mode", self.mode, did_you_mean(str(self.mode), get_args(setting.Wish)), NEXT)
        if self.preset is None:
            return
        if self.preset not in MENU:
            raise UserError("--preset", self.preset, did_you_mean(str(self.preset), MENU), NEXT)
        if self.limited:
            raise UserError("--preset", self.preset, "a preset is one setting: no limit can steer it", NEXT)
        if MENU[self.preset].mode not in setting.allowed(self.mode):
            allowed = f"a preset with {self.mode}, or no --mode"
            raise UserError("--preset", self.preset, allowed, NEXT)

    @property
    def limited(self) -> bool:
        """Whether anything is asked for that a trace can fail."""
        return any(one is not None for one in (self.min_ssim, self.max_bytes, self.max_paths))

    @property
    def aim(self) -> Aim:
        """What is sought once the limits hold: the fewest bytes, or the largest likeness."""
        return "bytes" if self.min_ssim is not None or not self.limited else "ssim"

    def floor(self, default: Traced | None) -> float:
        """The likeness that is needed: what was wished for, or the default's, or any."""
        if self.min_ssim is not None:
            return self.min_ssim
        return default.ssim - SAME if default is not None and not self.limited else -1.0

    def corners(self, default: Traced | None) -> float:
        """How many corners the outlines may have: without bound but for curves beside a measured default."""
        if self.mode != "curves" or default is None:
            return math.inf
        return CORNERS * default.corners + SPARE

    def shortfall(self, traced: Traced, default: Traced | None) -> float:
        """How far a trace is from the limits, 0 where all hold: what is missing, as logarithms of ratios, in sum."""
        short = sum(
            max(0.0, math.log(max(1, value) / most))
            for value, most in ((traced.bytes, self.max_bytes), (traced.paths, self.max_paths))
            if most is not None
        )
        floor = self.floor(default)
        if traced.ssim < floor:
            short += math.log((1 - traced.ssim) / max(1 - floor, 1e-4)) if floor < 1 else 1 - traced.ssim
        if self.mode == "curves" and traced.nodes:
            short += 10 * (1 - traced.curved)
            short += max(0.0, math.log(max(1.0, traced.corners)) - math.log(self.corners(default)))
        return max(0.0, short)

    def order(self, traced: Traced, default: Traced | None) -> tuple[float, ...]:
        """Sorts traces, the best first: those that fall short come last, by how far. Of equals those
        that fill a budget of bytes come first, for they are nearer to the image when magnified; else the smaller."""
        short = self.shortfall(traced, default)
        if self.aim == "bytes":
            return short, traced.bytes, -traced.ssim
        return short, -round(traced.ssim / TIE), traced.bytes if self.max_bytes is None else -traced.bytes

    def words(self) -> str:
        """The wish as a person reads it."""
        limits = [f"SSIM of at least {self.min_ssim:g}"] if self.min_ssim is not None else []
        limits += [f"at most {self.max_bytes:,} bytes"] if self.max_bytes is not None else []
        limits += [f"at most {self.max_paths:,} paths"] if self.max_paths is not None else []
        limits += [f"the preset {self.preset}"] if self.preset is not None else []
        said = ", ".join(limits) or "the fewest bytes at the likeness of VTracer's default"
        return said + ("" if self.mode == "auto" else f", {self.mode} only")


def preset_of(one: Setting) -> str:
    """The name of a preset, or nothing."""
    return next((name for name, known in MENU.items() if known == one), "")
