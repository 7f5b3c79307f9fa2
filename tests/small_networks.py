"""Small networks of every kind that a trace must take: detection, segmentation, recommendation, language."""

from __future__ import annotations

import itertools

import torch
from torch import nn
from torch.nn import functional


class Pyramid(nn.Module):
    """A detector: features at three strides, merged from the coarsest down, one head for all (Lin et al. 2017)."""

    def __init__(self, width: int = 8, classes: int = 3, anchors: int = 2) -> None:
        super().__init__()
        sizes = (3, width, 2 * width, 4 * width)
        self.body = nn.ModuleList(nn.Conv2d(a, b, 3, 2, 1) for a, b in itertools.pairwise(sizes))
        self.lateral = nn.ModuleList(nn.Conv2d(b, width, 1) for b in sizes[1:])
        self.head = nn.Conv2d(width, anchors * (classes + 4), 3, padding=1)

    def forward(self, images):
        features = []
        for layer in self.body:
            images = torch.relu(layer(images))
            features.append(images)
        merged = None
        answers = []
        for feature, lateral in zip(reversed(features), reversed(self.lateral), strict=True):
            side = lateral(feature)
            merged = side if merged is None else side + functional.interpolate(merged, scale_factor=2.0)
            answers.append(self.head(merged).flatten(2))
        return torch.cat(answers, 2)


class Selecting(Pyramid):
    """The same, with the selection that a trace cannot see: its answer's size depends on its values."""

    def forward(self, images):
        answer = super().forward(images)
        return answer[answer > 0.5]


class UNet(nn.Module):
    """Segmentation with dilated and transposed convolutions (Ronneberger et al. 2015)."""

    def __init__(self, width: int = 4, classes: int = 2) -> None:
        super().__init__()
        self.down = nn.Conv2d(3, width, 3, padding=1)
        self.deep = nn.Conv2d(width, 2 * width, 3, padding=2, dilation=2)
        self.up = nn.ConvTranspose2d(2 * width, width, 2, 2)
        self.head = nn.Conv2d(2 * width, classes, 1)

    def forward(self, images):
        skip = torch.relu(self.down(images))
        deep = torch.relu(self.deep(functional.max_pool2d(skip, 2)))
        return self.head(torch.cat([skip, self.up(deep)], 1))


class Recommender(nn.Module):
    """Bags of embeddings, their products with each other, and a small network on top (DLRM, Naumov et al. 2019)."""

    def __init__(self, tables: int = 3, rows: int = 1000, width: int = 8) -> None:
        super().__init__()
        self.tables = nn.ModuleList(nn.EmbeddingBag(rows, width, mode="sum") for _ in range(tables))
        self.top = nn.Linear(tables * tables, 1)

    def forward(self, ids):
        features = torch.stack([table(ids[:, at]) for at, table in enumerate(self.tables)], 1)
        return self.top(torch.bmm(features, features.transpose(1, 2)).flatten(1))


class Recurrent(nn.Module):
    """Tokens through recurrent layers to a label."""

    def __init__(self, kind: type = nn.LSTM, layers: int = 2, both: bool = False) -> None:
        super().__init__()
        self.embedding = nn.Embedding(50, 6)
        self.layers = kind(6, 5, layers, batch_first=True, bidirectional=both)
        self.head = nn.Linear(10 if both else 5, 3)

    def forward(self, ids):
        return self.head(self.layers(self.embedding(ids))[0].mean(1))


class Decoder(nn.Module):
    """A causal language model with grouped queries; with a cache it reads one token more."""

    def __init__(
        self, width: int = 16, heads: int = 4, kv_heads: int = 2, depth: int = 2, vocabulary: int = 60
    ) -> None:
        super().__init__()
        self.heads, self.kv_heads = heads, kv_heads
        self.tokens = nn.Embedding(vocabulary, width)
        size = width // heads
        self.query = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        self.pair = nn.ModuleList(nn.Linear(width, 2 * kv_heads * size) for _ in range(depth))
        self.out = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        self.head = nn.Linear(width, vocabulary, bias=False)
        self.head.weight = self.tokens.weight

    def forward(self, ids, cache=()):
        x = self.tokens(ids)
        for at, (query, pair, out) in enumerate(zip(self.query, self.pair, self.out, strict=True)):
            q = query(x).unflatten(2, (self.heads, -1)).transpose(1, 2)
            k, v = pair(x).unflatten(2, (2, self.kv_heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)
            if cache:
                k, v = (torch.cat(both, 2) for both in zip(cache[at], (k, v), strict=True))
            made = functional.scaled_dot_product_attention(q, k, v, is_causal=not cache, enable_gqa=True)
            x = x + out(made.transpose(1, 2).flatten(2))
        return self.head(x)


class Explicit(nn.Module):
    """Attention written out as products and a softmax."""

    def __init__(self, width: int = 12, heads: int = 3) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x):
        q, k, v = self.qkv(x).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)
        scores = torch.softmax(q @ k.transpose(-2, -1) / 2.0, -1)
        return self.out((scores @ v).transpose(1, 2).flatten(2))


class One(nn.Module):
    """A single layer under the name x."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x):
        return self.layer(x)


def every() -> dict[str, tuple[nn.Module, dict]]:
    """Name -> network and inputs of two items."""
    ids = torch.zeros(2, 6, dtype=torch.long)
    images = torch.zeros(2, 3, 16, 16)
    return {
        "detector": (Pyramid(), {"images": images}),
        "segmentation": (UNet(), {"images": images}),
        "recommender": (Recommender(), {"ids": torch.zeros(2, 3, 4, dtype=torch.long)}),
        "lstm": (Recurrent(nn.LSTM), {"ids": ids}),
        "gru": (Recurrent(nn.GRU, both=True), {"ids": ids}),
        "rnn": (Recurrent(nn.RNN, 1), {"ids": ids}),
        "decoder": (Decoder(), {"ids": ids}),
        "explicit": (Explicit(), {"x": torch.zeros(2, 5, 12)}),
        "grouped": (One(nn.Conv2d(8, 12, 3, groups=4)), {"x": torch.zeros(2, 8, 9, 9)}),
        "depthwise": (One(nn.Conv2d(8, 8, 3, 2, 1, groups=8)), {"x": torch.zeros(2, 8, 9, 9)}),
        "transposed": (One(nn.ConvTranspose2d(6, 4, 3, 2, groups=2)), {"x": torch.zeros(2, 6, 5, 5)}),
        "one dimension": (One(nn.Conv1d(4, 6, 5, dilation=2)), {"x": torch.zeros(2, 4, 20)}),
        "three dimensions": (One(nn.Conv3d(2, 3, 3)), {"x": torch.zeros(2, 2, 6, 6, 6)}),
    }
