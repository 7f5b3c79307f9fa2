"""Stop texts end a reply wherever its pieces are cut, and no character of them is shown."""

from hypothesis import given
from hypothesis import strategies as st

from netwright.chat.stops import Stops

TEXT = st.text(alphabet="ab🙂", max_size=30)


@given(TEXT, st.lists(st.text(alphabet="ab🙂", min_size=1, max_size=4), min_size=1, max_size=3), st.data())
def test_any_cut_shows_the_text_before_the_first_stop(text, stops, data):
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8)))
    pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    held = Stops(stops)
    shown = ""
    for at, piece in enumerate(pieces):
        shown += held.push(piece)
        sent = "".join(pieces[: at + 1])
        assert not any(shown.endswith(stop[:1]) and sent.find(stop) == len(shown) - 1 for stop in stops)
    if not held.stopped:
        shown += held.end()
    ends = [at + len(stop) for stop in stops if (at := text.find(stop)) >= 0]
    places = [text.find(stop) for stop in stops if stop in text]
    assert held.stopped == bool(places)
    if not places:
        assert shown == text
    else:  # cut before the first one to be seen whole
        assert shown in {text[:place] for place in places}
        assert len(shown) < min(ends)
    assert not any(stop in shown for stop in stops)


def test_single_characters_are_held_no_longer_than_needed():
    held = Stops(["\n\nUser:"])
    assert [held.push(one) for one in "a\nb\n\nUsed\n\nUser:rest"] == [
        "a", "", "\nb", "", "", "", "", "", "\n\nUsed", "", "", "", "", "", "", "", "", "", "", "",
    ]  # fmt: skip
    assert held.stopped
    assert held.end() == ""
