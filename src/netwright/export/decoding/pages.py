"""Which page of a cache holds which tokens of which text: full pages are found again by what stands in them.

    book = Book(size=32, most=100)
    pages = book.known(ids)                  # pages that hold the beginning of ids already
    page = book.take()                       # an empty one; of pages that nobody uses, the one unused for longest
    book.fill(page, before, ids[:32])        # from now on it is found
    book.release(pages)

Paged attention: Kwon et al. 2023, arXiv:2309.06180; pages found by content: Zheng et al. 2023, arXiv:2312.07104. This
file knows numbers of pages and ids of tokens, and no tensor.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence


class Page:
    """A place for the keys and values of `size` tokens; `after` holds the pages that go on from it."""

    __slots__ = ("after", "before", "ids", "number", "users")

    def __init__(self, number: int) -> None:
        self.number, self.users = number, 0
        self.ids: tuple[int, ...] = ()
        self.before: Page | None = None
        self.after: dict[tuple[int, ...], Page] = {}


class FullError(RuntimeError):
    """Every page is in use."""


class Book:
    """Pages in use, pages that are kept for whoever begins alike, and pages that are free."""

    def __init__(self, size: int, most: int) -> None:
        self.size, self.most = size, most
        self._first = Page(-1)
        """Not a page: texts begin after it."""
        self._free: list[int] = []
        self._made = 0
        self._kept: OrderedDict[int, Page] = OrderedDict()
        """Full pages that nobody uses, the one unused for longest first."""

    @property
    def made(self) -> int:
        """Pages there are places for, so far: as many as were ever in use at once, kept ones among them."""
        return self._made

    @property
    def left(self) -> int:
        """Pages that could be taken now."""
        return self.most - self._made + len(self._free) + len(self._kept)

    def known(self, ids: Sequence[int]) -> list[Page]:
        """The full pages that hold the beginning of a text; they are in use from now on."""
        found: list[Page] = []
        page = self._first
        for at in range(0, len(ids) - self.size + 1, self.size):
            following = page.after.get(tuple(ids[at : at + self.size]))
            if following is None:
                break
            page = following
            self._kept.pop(page.number, None)
            page.users += 1
            found.append(page)
        return found

    def take(self) -> Page:
        """An empty page, in use by one. Raises FullError."""
        if self._free:
            number = self._free.pop()
        elif self._made < self.most:
            number, self._made = self._made, self._made + 1
        elif self._kept:
            number, page = self._kept.popitem(last=False)
            self._unlink(page)
        else:
            raise FullError(f"all {self.most} pages are in use")
        page = Page(number)
        page.users = 1
        return page

    def fill(self, page: Page, before: Page | None, ids: Sequence[int]) -> None:
        """A page is full: these are its tokens. One that holds the same already stays the one that is found."""
        before = before or self._first
        key = tuple(ids)
        linked = before is self._first or before.before is not None
        if linked and key not in before.after:
            page.before, page.ids = before, key
            before.after[key] = page

    def release(self, pages: Sequence[Page]) -> None:
        """One user less of each. Full pages stay until their place is wanted: the last ones of a text go first."""
        for page in reversed(pages):
            page.users -= 1
            if page.users:
                continue
            if page.before is None:
                self._free.append(page.number)
            else:
                self._kept[page.number] = page

    def _unlink(self, page: Page) -> None:
        """It is not found any more, nor is what follows it."""
        if page.before is not None:
            del page.before.after[page.ids]
        left = [page]
        while left:
            page = left.pop()
            page.before = None
            left += page.after.values()
            page.after = {}
            if self._kept.pop(page.number, None) is not None:
                self._free.append(page.number)
