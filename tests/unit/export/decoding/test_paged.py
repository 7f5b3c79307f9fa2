"""Texts that are read together answer as each does alone, whatever they share, forget and end."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from netwright.core.error import UserError
from netwright.export import decoding
from netwright.export.decoding import paged
from netwright.export.decoding.paged import PagedSession
from netwright.export.decoding.pages import FullError

NEAR = {"rtol": 1e-3, "atol": 2e-4}
ALIKE = [7] * 40


@pytest.fixture(scope="session")
def session(written):
    return PagedSession(written[1]["openvino"], 1)


@pytest.fixture(scope="session")
def reference(written):
    return decoding.open(written[1]["torch"])


def alone(reference, ids):
    reference.keep(0)
    return reference.feed(ids, all=True)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_texts_that_share_forget_and_end_answer_as_each_alone(session, reference, data):
    texts = []
    try:
        for _ in range(data.draw(st.integers(1, 8))):
            change(session, reference, data, texts)
    finally:  # the session is shared by all examples
        for text in texts:
            text.end()
    assert session.book.left == session.book.most


def change(session, reference, data, texts):
    """Begin a text, forget some of one, or end one; then read on in all."""
    step = data.draw(st.sampled_from(["begin", "keep", "end", "read"]))
    if step == "begin" or not texts:
        ids = ALIKE[: data.draw(st.integers(1, 40))] + data.draw(st.lists(st.integers(0, 256), max_size=4))
        text = session.begin(ids)
        texts.append(text)
        assert text.ids == ids[: len(text)]
        (got,) = session.read([(text, ids[len(text) :])])
        np.testing.assert_allclose(got, alone(reference, ids)[-1], **NEAR)
        return
    text = data.draw(st.sampled_from(texts))
    if step == "keep":
        text.keep(data.draw(st.integers(1, len(text))))
    elif step == "end":
        text.end()
        texts.remove(text)
    some = [text for text in texts if len(text) < 44]
    if not some:
        return
    news = [data.draw(st.lists(st.integers(0, 256), min_size=1, max_size=4)) for _ in some]
    wanted = [text.ids + new for text, new in zip(some, news, strict=True)]
    answers = session.read(list(zip(some, news, strict=True)), all=True)
    for text, ids, new, got in zip(some, wanted, news, answers, strict=True):
        assert text.ids == ids
        np.testing.assert_allclose(got, alone(reference, ids)[-len(new) :], **NEAR)


def test_what_others_read_is_not_read_again_and_forgetting_does_not_change_it(session, reference):
    first = session.begin(ALIKE)
    session.read([(first, ALIKE[len(first) :])])
    session.settle(first)
    second = session.begin([*ALIKE, 1])
    assert len(second) == session.book.size
    second.keep(10)
    session.read([(second, [5] * 20)])
    (got,) = session.read([(first, [3])])
    np.testing.assert_allclose(got, alone(reference, [*ALIKE, 3])[-1], **NEAR)
    first.end()
    second.end()


def test_unread_places_of_a_page_have_no_say(written, reference):
    session = PagedSession(written[1]["openvino"], 1)
    text = session.begin([1])
    session.read([(text, [1, 2])])
    for name in session._caches:
        session._request.get_tensor(name).data[:, :, 2:] = np.nan
    (got,) = session.read([(text, [3])])
    np.testing.assert_allclose(got, alone(reference, [1, 2, 3])[-1], **NEAR)


def test_memory_is_kept(written):
    page = PagedSession(written[1]["openvino"], 1).page_bytes
    with pytest.raises(UserError, match="two pages of 32"):
        PagedSession(written[1]["openvino"], 1, memory=page)
    small = PagedSession(written[1]["openvino"], 1, memory=2 * page)
    assert small.longest == 32
    first, second, third = (small.begin([at]) for at in range(3))
    small.read([(first, [1]), (second, [2])])
    with pytest.raises(FullError):
        small.read([(third, [3])])
    assert len(third) == 0
    with pytest.raises(UserError, match="reads 32 at most"):
        small.read([(first, [1] * 32)])
    first.end()
    small.read([(second, [2]), (third, [3])])


def test_places_that_run_out_are_doubled_and_what_stands_in_them_stays(written, reference, monkeypatch):
    monkeypatch.setattr(paged, "FIRST", 1)
    session = PagedSession(written[1]["openvino"], 1)
    texts = [(session.begin(ids), ids) for ids in ([at] * 36 for at in range(1, 6))]
    for text, ids in texts:
        session.read([(text, ids[len(text) :])])
    answers = session.read([(text, [9]) for text, _ in texts])
    for (_, ids), got in zip(texts, answers, strict=True):
        np.testing.assert_allclose(got, alone(reference, [*ids, 9])[-1], **NEAR)
