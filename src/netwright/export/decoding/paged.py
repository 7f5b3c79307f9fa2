"""Decoder "openvino" on a CPU: several texts at once, with keys and values in pages that texts which begin alike share.

    session = PagedSession(artifact, threads=2)
    text = session.begin(ids)                                  # len(text) tokens are known from other texts
    logits_V, = session.read([(text, ids[len(text) :])])       # of as many texts as there are, in one go
    text.keep(10)
    text.end()

The stateful file (`decoding.openvino`) is made into one of paged attention while it is opened. A text is cut by
forgetting where it ends: nothing is copied but the page that it then ends in, if others read that one, too.

Shape legend: T tokens of all texts, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netwright.core.artifact import Artifact
from netwright.core.error import UserError
from netwright.core.table import extra
from netwright.export import openvino as plain
from netwright.export.decoding import openvino as stateful
from netwright.export.decoding import room
from netwright.export.decoding.pages import Book, Page
from netwright.export.executed import most

MEMORY = 2 * 2**30
"""Bytes of keys and values at most, where nobody says; they are taken as they are needed."""
FIRST = 1024
"""Pages there are places for at first, which take no memory before they are written; twice as many when they run out,
which copies all of them, and holds every reply meanwhile."""


class Text:
    """A text that is read: how far, and in which pages."""

    def __init__(self, session: PagedSession, pages: list[Page], ids: Sequence[int]) -> None:
        self._session, self.pages = session, pages
        self.ids = list(ids)
        """What was read, or known."""
        self.settled = len(pages)
        """Pages that others may find."""

    def __len__(self) -> int:
        return len(self.ids)

    def keep(self, count: int) -> None:
        """Forget all but the first `count` tokens."""
        if count < len(self.ids):
            self._session.cut(self, max(0, count))

    def end(self) -> None:
        """Give the pages back; the full ones are found by texts that begin alike, while there is room."""
        self._session.settle(self)
        self._session.book.release(self.pages)
        self.pages, self.ids, self.settled = [], [], 0


class PagedSession:
    """A compiled model, its pages, and what they hold. Not for two threads at once."""

    def __init__(self, artifact: Artifact, threads: int, precision: str = "fp32", memory: int = MEMORY) -> None:
        openvino = extra("openvino", "the format openvino")
        from openvino._offline_transformations import paged_attention_transformation

        model = stateful.opened(artifact)
        paged_attention_transformation(model)
        _only_wanted(model)
        compiled = stateful.compile(model, artifact, threads, precision)
        self.layers = plain.executed(compiled.get_runtime_model())
        self.precision = most(self.layers, precision)
        self.vocabulary = int(compiled.output(0).partial_shape[2].get_length())
        self._request = compiled.create_infer_request()
        self._tensor = openvino.Tensor
        self._caches = {
            port.any_name: (port.element_type, [size.get_length() for size in list(port.partial_shape)[1:]])
            for port in compiled.inputs
            if "_cache." in port.any_name
        }
        size = self._caches["value_cache.0"][1][1]
        self.page_bytes = sum(int(np.prod(shape)) * kind.size for kind, shape in self._caches.values())
        """Bytes of a page, in all layers."""
        self.longest = min(int(artifact.model["positions"]), memory // self.page_bytes * size - size)
        if self.longest < 1:
            least = f"at least {2 * self.page_bytes / 2**20:.0f} MB: two pages of {size} tokens"
            raise UserError("memory", f"{memory / 2**20:.0f} MB", least, "give more, or a smaller model")
        self.book = Book(size, memory // self.page_bytes)
        self._places = 0

    def begin(self, ids: Sequence[int]) -> Text:
        """A text of which its beginning may be known: all of it but the last token, at most."""
        pages = self.book.known(ids[: len(ids) - 1])
        return Text(self, pages, ids[: len(pages) * self.book.size])

    def read(self, texts: Sequence[tuple[Text, Sequence[int]]], all: bool = False) -> list[NDArray[np.float32]]:
        """Read on in each text: logits_V after its last token, or logits_TV after each.

        Raises UserError for no ids and too many, and `pages.FullError`; nothing has been read then.
        """
        for text, ids in texts:
            room(len(text), len(ids), self.longest)
        past = np.array([len(text) for text, _ in texts], np.int32)
        news = np.array([len(ids) for _, ids in texts])
        for text, ids in texts:
            self.settle(text)
            self._make_room(text, len(text) + len(ids))
        ends = np.cumsum(news)
        held = [text.pages[: -(-(len(text) + len(ids)) // self.book.size)] for text, ids in texts]
        inputs = {
            "input_ids": np.concatenate([np.asarray(ids, np.int64) for _, ids in texts]),
            "position_ids": np.concatenate([np.arange(at, at + new) for at, new in zip(past, news, strict=True)]),
            "past_lens": past,
            "subsequence_begins": np.concatenate([[0], ends]).astype(np.int32),
            "block_indices": np.array([page.number for pages in held for page in pages], np.int32),
            "block_indices_begins": np.concatenate([[0], np.cumsum([len(pages) for pages in held])]).astype(np.int32),
            "max_context_len": np.array((past + news).max(), np.int32),
            stateful.WANTED: np.arange(ends[-1]) if all else ends - 1,
        }
        logits_TV: NDArray[np.float32] = self._request.infer(inputs, share_inputs=True)[0][:, 0]
        for text, ids in texts:
            text.ids.extend(ids)
        return np.split(logits_TV, ends[:-1]) if all else list(logits_TV)

    def settle(self, text: Text) -> None:
        """Let others find the pages that are full."""
        size = self.book.size
        for at in range(text.settled, len(text) // size):
            self.book.fill(text.pages[at], text.pages[at - 1] if at else None, text.ids[at * size : (at + 1) * size])
        text.settled = len(text) // size

    def cut(self, text: Text, count: int) -> None:
        """What `Text.keep` does."""
        held = -(-count // self.book.size)
        self.book.release(text.pages[held:])
        del text.pages[held:], text.ids[count:]
        if text.settled * self.book.size > count:
            text.settled = count // self.book.size
            if held > text.settled:  # others may read the page that it ends in
                text.pages[-1] = self._copied(text.pages[-1])

    def _make_room(self, text: Text, tokens: int) -> None:
        while len(text.pages) * self.book.size < tokens:
            text.pages.append(self.book.take())
        if self.book.made > self._places:
            self._grow()

    def _grow(self) -> None:
        """Places for twice as many pages."""
        before, self._places = self._places, min(self.book.most, max(FIRST, 2 * self._places, self.book.made))
        for name, (kind, shape) in self._caches.items():
            larger = self._tensor(kind, [self._places, *shape])
            if before:
                larger.data[:before] = self._request.get_tensor(name).data
            self._request.set_tensor(name, larger)

    def _copied(self, page: Page) -> Page:
        other = self.book.take()
        if self.book.made > self._places:
            self._grow()
        for name in self._caches:
            data = self._request.get_tensor(name).data
            data[other.number] = data[page.number]
        self.book.release([page])
        return other


class PagedDecoder:
    """A `Decoder` of one text."""

    def __init__(self, session: PagedSession) -> None:
        self.session = session
        self.longest, self.vocabulary = session.longest, session.vocabulary
        self.precision, self.layers = session.precision, session.layers
        self._text = session.begin([0])

    def __len__(self) -> int:
        return len(self._text)

    def feed(self, ids: Sequence[int], all: bool = False) -> NDArray[np.float32]:
        """Read on."""
        (logits,) = self.session.read([(self._text, ids)], all)
        return logits

    def keep(self, count: int) -> None:
        """Forget all but the first `count` tokens that were read."""
        self._text.keep(count)


def _only_wanted(model: Any) -> None:
    """Make logits only of the tokens whose places are in the new input `wanted`."""
    openvino = extra("openvino", "the format openvino")
    from openvino import opset13

    head = stateful.last_product(model)
    wanted = opset13.parameter(openvino.PartialShape([-1]), openvino.Type.i64, name=stateful.WANTED)
    wanted.output(0).get_tensor().set_names({stateful.WANTED})
    model.add_parameters([wanted])
    some = opset13.gather(head.input_value(0), wanted, opset13.constant(0, openvino.Type.i64))
    head.input(0).replace_source_output(some.output(0))
    model.validate_nodes_and_infer_types()
