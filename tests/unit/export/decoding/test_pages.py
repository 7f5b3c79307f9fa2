"""Pages are found by what stands in them, given out once, and found no more when their place was taken."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netwright.export.decoding.pages import Book, FullError


def filled(book, ids):
    """The pages of a text, those found and those taken; full ones are told."""
    pages = book.known(ids)
    for at in range(len(pages), -(-len(ids) // book.size)):
        page = book.take()
        part = ids[at * book.size : (at + 1) * book.size]
        if len(part) == book.size:
            book.fill(page, pages[-1] if pages else None, part)
        pages.append(page)
    return pages


def test_texts_that_begin_alike_share_pages():
    book = Book(size=2, most=10)
    first = filled(book, [1, 2, 3, 4, 5])
    second = filled(book, [1, 2, 3, 9])
    assert [page.number for page in first] == [0, 1, 2]
    assert [page.number for page in second] == [0, 3]
    assert book.known([3, 4]) == []
    book.release(first)
    book.release(second)
    assert book.left == 10
    assert [page.number for page in book.known([1, 2, 3, 4, 5, 6])] == [0, 1]


def test_the_page_unused_for_longest_makes_room_and_is_found_no_more():
    book = Book(size=1, most=3)
    book.release(filled(book, [1, 2]))
    book.release(filled(book, [7]))
    taken = filled(book, [8])
    assert taken[0].number == 1  # the last page of the text that came first
    assert len(book.known([1, 2])) == 1
    assert book.left == 1
    book.take()
    with pytest.raises(FullError, match="all 3"):
        book.take()


@given(
    st.integers(1, 3), st.integers(4, 12),
    st.lists(st.tuples(st.booleans(), st.lists(st.integers(0, 1), min_size=1, max_size=9)), max_size=40),
)  # fmt: skip
def test_no_page_has_two_contents(size, most, steps):
    book, contents, open_texts = Book(size, most), {}, []
    for ends, ids in steps:
        if ends and open_texts:
            book.release(open_texts.pop(0))
            continue
        if -(-len(ids) // size) > book.left:
            continue
        known = book.known(ids)
        for at, page in enumerate(known):
            assert contents[page.number] == tuple(ids[: (at + 1) * size])
        book.release(known)
        pages = filled(book, ids)
        mine = {page.number for page in pages}
        assert len(mine) == len(pages)
        fresh = mine - {page.number for page in known}
        assert not fresh & {page.number for text in open_texts for page in text}
        for at, page in enumerate(pages):
            contents[page.number] = tuple(ids[: (at + 1) * size])
        open_texts.append(pages)
        assert book.made <= most
    for text in open_texts:
        book.release(text)
    assert book.left == most
