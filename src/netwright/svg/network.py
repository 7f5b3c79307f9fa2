"""The network that predicts what settings will do to an image: from statistics and settings to six amounts.

    model = Ensemble([Head(...), ...])
    model(features_BF, settings_BS10)      # mean and spread of the scaled TARGETS

A member joins an embedding of the image with a setting and with what the statistics say *at* that setting: how
alike the image stays with its colours cut to this very number of bits, how many patches there are then that are large
enough to be kept, how much of it lies in steps smaller than this layer difference. Similarities are learned as log10
of their distance from 1, bytes and paths as log10. Members differ in their seeds; their mean is the prediction, and
each also tells how wrong it expects to be (Nix and Weigend 1994).

Shape legend: N settings of one image, F features, P columns of a setting, T targets, M members.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from netwright.svg import patches, statistics
from netwright.svg.amounts import TARGETS
from netwright.svg.setting import COLUMNS, RANGES

SETTING_PIECES, MATCHED_PIECES = 6, 4
"""Into how many pieces the parameters and the statistics at a setting are cut."""


class Matched(nn.Module):
    """What the statistics say at a setting: (features_NF, settings_NP) -> matched_NG."""

    by_bits: Tensor
    by_cut: Tensor
    by_step: Tensor
    by_both: Tensor
    by_size: Tensor

    def __init__(self) -> None:
        super().__init__()
        names = statistics.columns()
        place = {name: k for k, name in enumerate(names)}
        bits = [
            [place[f"{view} {part} {b}"] for b in statistics.BITS]
            for view in ("piece", "whole")
            for part in statistics.PARTS
        ]
        cut = [[place[f"{part} {b}"] for b in statistics.CUT] for part in ("ssim", "active", "error")]
        step = [[place[f"{view} step{s}"] for s in statistics.STEPS] for view in ("piece", "whole")]
        left = [
            [[place[f"{view} left {b} {level}"] for level in range(statistics.LEVELS)] for b in statistics.BITS]
            for view in ("piece", "whole")
        ]
        size = [
            [[place[f"{said} {bits} {side}"] for side in patches.SIDES] for said in patches.SAID]
            for bits in patches.BITS
        ]
        self.register_buffer("by_both", torch.tensor(left), persistent=False)
        self.register_buffer("by_size", torch.tensor(size), persistent=False)
        self.register_buffer("by_bits", torch.tensor(bits), persistent=False)
        self.register_buffer("by_cut", torch.tensor(cut), persistent=False)
        self.register_buffer("by_step", torch.tensor(step), persistent=False)

    def forward(self, features_NF: Tensor, settings_NP: Tensor) -> Tensor:
        """One row of features a setting; settings as `setting.vectors` gives them."""
        bits_N = settings_NP[:, _at("color_precision")] * _span("color_precision")  # 0 for the least, which is 2 bits
        low, high = RANGES["layer_difference"]
        step_N = torch.log2(low + settings_NP[:, _at("layer_difference")] * (high - low))
        return torch.cat([
            _read(features_NF, self.by_bits, bits_N),
            _read(features_NF, self.by_cut, bits_N.clamp(max=len(statistics.CUT) - 1)),
            _read(features_NF, self.by_step, step_N),
            _read(features_NF, self._of(bits_N), torch.log2(2 ** step_N + 1).clamp(max=statistics.LEVELS - 1)),
            self._patches(features_NF, settings_NP, bits_N),
        ], 1)  # fmt: skip

    def _of(self, bits_N: Tensor) -> Tensor:
        """Places of the borders left at each setting's number of bits, (N, views, levels)."""
        return self.by_both.transpose(0, 1)[bits_N.round().long()]

    def _patches(self, features_NF: Tensor, settings_NP: Tensor, bits_N: Tensor) -> Tensor:
        """Patches at a setting's number of bits (the nearest that was looked at) and smallest size, (N, said)."""
        speckle_N = settings_NP[:, _at("filter_speckle")] * RANGES["filter_speckle"][1]
        at_N = (bits_N.round() + RANGES["color_precision"][0] - patches.BITS[0]).clamp(0, len(patches.BITS) - 1)
        place_N = torch.where(speckle_N < 0.5, 0.0, torch.log2(speckle_N.clamp(min=2)))
        return _read(features_NF, self.by_size[at_N.long()], place_N)

    @property
    def width(self) -> int:
        """How many numbers come out."""
        return len(self.by_bits) + len(self.by_cut) + len(self.by_step) + len(self.by_both) + len(patches.SAID)


def _at(name: str) -> int:
    return COLUMNS.index(name)


def _span(name: str) -> float:
    low, high = RANGES[name]
    return high - low


def _read(features_NF: Tensor, places: Tensor, at_N: Tensor) -> Tensor:
    """Features at a place between their columns, by linear interpolation: (N, G). `places` is (G, K) or (N, G, K)."""
    groups, count = places.shape[-2:]
    values_NGK = features_NF.gather(1, places.expand(features_NF.shape[0], groups, count).flatten(1)).view(
        -1, groups, count
    )
    below_N = at_N.floor().clamp(0, count - 1)
    above_N = (below_N + 1).clamp(max=count - 1)
    share_N1 = (at_N - below_N).clamp(0, 1)[:, None]
    first, second = (
        values_NGK.gather(2, at.long()[:, None, None].expand(-1, groups, 1))[..., 0] for at in (below_N, above_N)
    )
    return first * (1 - share_N1) + second * share_N1


class Pieces(nn.Module):
    """Numbers as how far each has come through the intervals between quantiles: what a threshold in a tree would see
    (piecewise linear encoding; Gorishniy, Rubachev, Babenko 2022, arXiv:2203.05556, section 3.2)."""

    edges_CE: Tensor

    def __init__(self, columns: int, pieces: int) -> None:
        super().__init__()
        self.register_buffer("edges_CE", torch.linspace(0, 1, pieces + 1).repeat(columns, 1))

    def observe(self, values_NC: Tensor) -> None:
        """Take the quantiles of these."""
        shares_E = torch.linspace(0, 1, self.edges_CE.shape[1])
        self.edges_CE.copy_(torch.quantile(values_NC, shares_E, dim=0).T)

    def forward(self, values_NC: Tensor) -> Tensor:
        """A number for each piece of each column, from 0 to 1."""
        low_CK = self.edges_CE[:, :-1]
        width_CK = (self.edges_CE[:, 1:] - low_CK).clamp(min=1e-3)
        return ((values_NC[:, :, None] - low_CK) / width_CK).clamp(0, 1).flatten(1)


class Member(nn.Module):
    """One network: standardised features, an embedding of the image, two layers that join it with a setting."""

    mean_F: Tensor
    spread_F: Tensor

    def __init__(self, features: int, embedding: int = 64, hidden: int = 192, dropout: float = 0.1) -> None:
        super().__init__()
        self.matched = Matched()
        self.register_buffer("mean_F", torch.zeros(features))
        self.register_buffer("spread_F", torch.ones(features))
        self.image = nn.Sequential(
            nn.Linear(features, 128), nn.GELU(), nn.Dropout(dropout), nn.Linear(128, embedding), nn.GELU()
        )
        self.bits = nn.Embedding(int(_span("color_precision")) + 1, 8)
        self.setting_pieces = Pieces(len(COLUMNS), SETTING_PIECES)
        self.matched_pieces = Pieces(self.matched.width, MATCHED_PIECES)
        joined = embedding + len(COLUMNS) * (1 + SETTING_PIECES) + 2 + 8 + self.matched.width * (1 + MATCHED_PIECES)
        self.join = nn.Sequential(
            nn.Linear(joined, hidden), nn.GELU(), nn.Dropout(dropout), nn.Linear(hidden, hidden), nn.GELU(),
            nn.Dropout(dropout), nn.Linear(hidden, 2 * len(TARGETS)),
        )  # fmt: skip

    @torch.no_grad()
    def observe(self, images_IF: Tensor, features_NF: Tensor, settings_NP: Tensor) -> None:
        """Take the range of features from images, and quantiles from rows."""
        self.mean_F.copy_(images_IF.mean(0))
        self.spread_F.copy_(images_IF.std(0, unbiased=False) + 1e-2)
        self.setting_pieces.observe(settings_NP)
        self.matched_pieces.observe(self.matched(self._clean(features_NF), settings_NP))

    def _clean(self, features_NF: Tensor) -> Tensor:
        return ((features_NF - self.mean_F) / self.spread_F).clamp(-4, 4)

    def forward(self, features_NF: Tensor, settings_NP: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log spread of the scaled targets, (N, T) each; features one row, or one a setting."""
        clean = self._clean(features_NF)
        bits = (settings_NP[:, _at("color_precision")] * _span("color_precision")).round().long()
        speckle = settings_NP[:, _at("filter_speckle")] * RANGES["filter_speckle"][1]
        step = settings_NP[:, _at("layer_difference")] * RANGES["layer_difference"][1]
        rows = settings_NP.shape[0]
        matched = self.matched(clean.expand(rows, -1), settings_NP)
        wide = torch.cat([
            self.image(clean).expand(rows, -1), settings_NP, torch.log2(1 + speckle)[:, None] / 4,
            torch.log2(1 + step)[:, None] / 7, self.bits(bits), matched, self.setting_pieces(settings_NP),
            self.matched_pieces(matched),
        ], 1)  # fmt: skip
        mean_NT, log_spread_NT = self.join(wide).chunk(2, 1)
        return mean_NT, log_spread_NT.clamp(-4, 1)


class Ensemble(nn.Module):
    """Members beside each other: the mean of their means, and a spread that holds theirs and their disagreement."""

    def __init__(self, members: Sequence[Member]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, features_NF: Tensor, settings_NP: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and spread of the scaled targets, (N, T) each."""
        means, spreads = zip(*(member(features_NF, settings_NP) for member in self.members), strict=True)
        mean_MNT = torch.stack(means)
        variance_NT = torch.stack(spreads).exp().square().mean(0) + mean_MNT.var(0, unbiased=False)
        return mean_MNT.mean(0), variance_NT.sqrt()


class Distance(nn.Module):
    """How far an image is from what was learned: the distance to the nearest landmark, over directions that count.

    `to_FD` takes standardised features to D principal directions, each scaled to a spread of 1.
    """

    mean_F: Tensor
    to_FD: Tensor
    landmarks_LD: Tensor

    def __init__(self, mean_F: Tensor, to_FD: Tensor, landmarks_LD: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean_F", mean_F)
        self.register_buffer("to_FD", to_FD)
        self.register_buffer("landmarks_LD", landmarks_LD)

    def forward(self, features_BF: Tensor) -> Tensor:
        """distance_B."""
        at_BD = (features_BF - self.mean_F) @ self.to_FD
        return (at_BD[:, None] - self.landmarks_LD[None]).square().sum(2).amin(1).sqrt()
