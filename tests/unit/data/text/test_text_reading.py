"""Files, folders and the hub as records; what is broken is named and counted, never lost in silence."""

import gzip
import json
import os
import sys
import tracemalloc
import types

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from netwright.core.error import UserError
from netwright.data.text import Config, Message, Tally, content, read, streams

GOOD = '{"question": "1 + 1?", "answer": "2"}'


def texts(path, **settings):
    return [record.text for record in read(path, Config(**settings))]


def written(folder, name, raw):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(raw if isinstance(raw, bytes) else raw.encode())
    return path


def test_a_text_file_is_one_text_or_its_paragraphs_or_its_lines(tmp_path):
    path = written(tmp_path, "a.txt", "one\r\ntwo\n\n\n  \nthree\n")
    assert texts(path) == ["one\ntwo\n\n\n  \nthree"]
    assert texts(path, unit="paragraph") == ["one\ntwo", "three"]
    found = list(read(path, Config(unit="line")))
    assert [(one.text, one.place) for one in found] == [
        ("one", f"{path}:1"), ("two", f"{path}:2"), ("three", f"{path}:6")
    ]  # fmt: skip
    assert [one.place for one in read(path, Config(unit="paragraph"))] == [f"{path}:1", f"{path}:6"]


ROWS = [{"text": f"text {n}", "other": n} for n in range(700)]


def as_csv(rows):
    return "text,other\n" + "".join(f'"{row["text"]}",{row["other"]}\n' for row in rows)


@pytest.mark.parametrize("packed", ["", ".gz"])
@pytest.mark.parametrize("kind", [".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet"])
def test_every_kind_gives_the_same_records(tmp_path, kind, packed):
    plain = tmp_path / f"plain{kind}"
    if kind == ".parquet":
        parquet.write_table(pa.Table.from_pylist(ROWS), plain, row_group_size=300)
    elif kind == ".json":
        plain.write_text(json.dumps(ROWS, indent=1))
    elif kind in (".csv", ".tsv"):
        plain.write_text(as_csv(ROWS) if kind == ".csv" else as_csv(ROWS).replace(",", "\t"))
    else:
        plain.write_text("\n".join(json.dumps(row) for row in ROWS))
    path = plain
    if packed:
        path = tmp_path / f"packed{kind}.gz"
        path.write_bytes(gzip.compress(plain.read_bytes()))
    tally = Tally()
    found = list(read(path, tally=tally))
    assert [one.text for one in found] == [row["text"] for row in ROWS]
    assert len({one.place for one in found}) == len(ROWS)
    assert tally.shapes == {"text": 700}
    assert tally.records == 700


@pytest.mark.parametrize(
    "raw",
    [
        '[{"text": "a"}, {"text": "b"}]', '{"text": "a"}\n{"text": "b"}\n', '{"text": "a"} {"text": "b"}',
        '{"version": 2, "data": [{"text": "a"}, {"text": "b"}]}', '["a", "b"]', ' \n[\n"a"\n,\n"b"\n]\n',
    ],
)  # fmt: skip
def test_the_ways_in_which_json_holds_records(tmp_path, raw):
    assert texts(written(tmp_path, "a.json", raw)) == ["a", "b"]


@given(st.lists(st.recursive(st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
                             lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8)),
       st.integers(1, 30), st.sampled_from([None, 1]))  # fmt: skip
def test_an_array_is_read_the_same_in_pieces_of_any_size(values, size, indent):
    raw = json.dumps(values, ensure_ascii=False, indent=indent)
    parts = iter([raw[at : at + size] for at in range(0, len(raw), size)])
    reader = streams.Values(parts, 1 << 20)
    found = [value for _, value in _in_small_steps(reader)]
    assert found == values


def _in_small_steps(reader):
    more = reader._more
    reader._more = lambda size: more(1)  # one piece at a time, so that every value is met unfinished
    return reader


def test_a_huge_array_takes_little_memory(tmp_path):
    path = tmp_path / "a.json"
    with path.open("w") as file:
        file.write("[")
        file.writelines(f'{"," if n else ""}\n{{"text": "{n} {"x" * 1000}"}}' for n in range(30_000))
        file.write("]")
    assert path.stat().st_size > 30_000_000
    tracemalloc.start()
    count = sum(1 for _ in read(path))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 30_000
    assert peak < 12_000_000


@pytest.mark.parametrize(
    ("raw", "place", "why"),
    [
        ('[{"text": "a"},\n {"text": "b" "c"}]', ":2", "Expecting ',' delimiter"),
        ('[{"text": "a"},\n{"text": "b"}', ":2", "cut off"),
        ('[{"text": "a"},\n{"text": "b', ":2", "Unterminated"),
        ('[{"text": "a"}]\n{"text": "b"}', ":2", "follows the end"),
        ('[{"text": "a"};', ":1", "comma is expected"),
        ("[" * 100_000, ":1", "nested too deep"),
    ],
)
def test_a_broken_array_names_the_line_from_which_nothing_can_be_read(tmp_path, raw, place, why):
    path = written(tmp_path, "a.json", raw)
    with pytest.raises(UserError, match=why) as told:
        list(read(path))
    assert told.value.value == f"{path}{place}"
    assert "jsonl" in told.value.next


BROKEN_LINES = [
    ('{"text": "x"', "Expecting ',' delimiter at column 13"),
    ("{'text': 'x'}", "double quotes at column 2"),
    ("\0\0\0\0", "nothing but NUL bytes"),
    ("[" * 100_000, "levels deep"),
    ('{"text": ' + "1" * 5000 + "}", "thousands of digits"),
    ('"x', "Unterminated string"),
    ("17", "a number, where a record"),
    ("null", "a null, where a record"),
    ('{"body": "x"}', "no known shape: its fields are 'body'"),
    ('{"text": 3}', '"text" is a number'),
    ('{"messages": [{"role": "user", "content": "x"}, {"role": "user", "content": "y"}]}', "message 2 is of the user"),
]


@pytest.mark.parametrize(("line", "why"), BROKEN_LINES)
def test_a_broken_line_is_skipped_counted_and_named(tmp_path, line, why):
    path = written(tmp_path, "a.jsonl", f"{GOOD}\n{line}\n\n{GOOD}\n")
    tally = Tally()
    assert [one.place for one in read(path, tally=tally)] == [f"{path}:1", f"{path}:4"]
    assert (tally.records, tally.broken) == (2, 1)
    assert tally.broken_places[0].startswith(f"{path}:2: ")
    assert why in tally.broken_places[0]
    with pytest.raises(UserError) as told:
        list(read(path, Config(strict=True)))
    assert told.value.value == f"{path}:2"
    assert why in str(told.value)
    assert "mend" in told.value.next


def test_more_than_a_small_share_of_broken_lines_stops(tmp_path):
    path = written(tmp_path, "a.jsonl", f"{GOOD}\n" * 100 + "{\n" * 20 + f"{GOOD}\n" * 1000)
    with pytest.raises(UserError, match="too many to go on.*a.jsonl:101"):
        list(read(path))
    assert len(list(read(path, Config(broken=0.5)))) == 1100
    with pytest.raises(UserError, match="2 of 2"):
        list(read(written(tmp_path, "b.jsonl", "{\n{\n")))


@pytest.mark.parametrize("kind", ["txt", "jsonl", "json", "csv", "parquet", "jsonl.gz"])
def test_an_empty_file_has_no_text(tmp_path, kind):
    with pytest.raises(UserError, match="no text in it|no parquet"):
        list(read(written(tmp_path, f"a.{kind}", b"")))


def test_empty_chats_and_texts_are_counted(tmp_path):
    lines = [GOOD, '{"messages": []}', '{"text": " \\n"}', '{"text": null}', '{"messages": null}']
    tally = Tally()
    assert len(list(read(written(tmp_path, "a.jsonl", "\n".join(lines)), tally=tally))) == 1
    assert (tally.empty, tally.broken) == (4, 0)


SAID = "Über naïve Ärzte: 3 € “quoted” 日本"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_encodings_are_told_apart(tmp_path, encoding):
    english = "All that is gold does not glitter. " * 3
    raw = json.dumps({"text": english + SAID}, ensure_ascii=False) + "\n" + GOOD
    tally = Tally()
    found = list(read(written(tmp_path, "a.jsonl", raw.encode(encoding)), tally=tally))
    assert found[0].text == english + SAID
    assert tally.broken == 0


@pytest.mark.parametrize("encoding", ["cp1252", "latin-1"])
def test_what_is_no_utf8_is_read_as_cp1252_and_counted(tmp_path, encoding):
    tally = Tally()
    said = "café “ça”" if encoding == "cp1252" else "café ça"
    raw = said.encode(encoding) + b"\n" + "café ça".encode()
    assert [one.text for one in read(written(tmp_path, "a.txt", raw), Config(unit="line"), tally)] == [said, "café ça"]
    assert tally.repaired["byte read as cp1252"] == len(said.encode(encoding)) - len(said.encode("ascii", "ignore"))


def test_letters_on_the_border_of_two_chunks_stay_whole(tmp_path):
    path = written(tmp_path, "a.txt", "x" * (streams.CHUNK - 1) + "é日" * 10)
    assert texts(path) == ["x" * (streams.CHUNK - 1) + "é日" * 10]


def test_half_a_pair_of_surrogates_does_not_reach_a_tokenizer(tmp_path):
    tally = Tally()
    path = written(tmp_path, "a.jsonl", '{"text": "a\\ud800b \\ud83d\\ude00"}')
    assert [one.text for one in read(path, tally=tally)] == ["a\ufffdb 😀"]
    assert tally.repaired["half of a character pair"] == 1


def test_nul_bytes(tmp_path):
    assert texts(written(tmp_path, "a.txt", "a\0b" + "x" * 50)) == ["a\0b" + "x" * 50], "cleaning takes them out"
    assert texts(written(tmp_path, "a.csv", "text\na\0b\n")) == ["ab"]
    with pytest.raises(UserError, match="binary, not text"):
        list(read(written(tmp_path, "b.txt", os.urandom(4000))))


def test_lines_of_any_length(tmp_path):
    path = tmp_path / "a.jsonl"
    with path.open("w") as file:
        file.write(f'{GOOD}\n{{"text": "')
        for _ in range(100):
            file.write("y" * 1_000_000)
        file.write(f'"}}\n{GOOD}\n')
    tally = Tally()
    tracemalloc.start()
    assert sum(1 for _ in read(path, Config(longest=1_000_000), tally)) == 2
    assert tracemalloc.get_traced_memory()[1] < 20_000_000
    tracemalloc.stop()
    assert "longer than 1,000,000 characters" in tally.broken_places[0]
    assert [len(content(one)) for one in read(path)] == [8, 100_000_000, 8]


@pytest.mark.parametrize("unit", ["file", "paragraph", "line"])
def test_texts_beyond_the_longest_are_broken_and_the_others_stay(tmp_path, unit):
    path = written(tmp_path, "a.txt", "short\n\n" + "long " * 100 + "\n" + "more\n" * 9 + "\nshort")
    tally = Tally()
    if unit == "file":
        with pytest.raises(UserError, match="longer than 50"):
            list(read(path, Config(longest=50), tally))
        return
    found = [one.text for one in read(path, Config(longest=50, unit=unit), tally)]
    assert found[0] == found[-1] == "short"
    assert tally.broken == 1
    assert "a.txt:3" in tally.broken_places[0]


def test_a_gzip_bomb_is_refused_and_a_cut_file_named(tmp_path, monkeypatch):
    monkeypatch.setattr(streams, "BOMB_FLOOR", 10_000_000)
    with pytest.raises(UserError, match="gzip bomb"):
        list(read(written(tmp_path, "a.txt.gz", gzip.compress(b"\n" * 50_000_000))))
    whole = gzip.compress(b"".join(b"%d %d\n" % (n, n * n) for n in range(10_000)))
    with pytest.raises(UserError, match="cut off or damaged"):
        list(read(written(tmp_path, "b.txt.gz", whole[:-500])))
    with pytest.raises(UserError, match="cut off or damaged"):
        list(read(written(tmp_path, "c.txt.gz", whole[:500] + b"garbage" + whole[507:])))


def test_a_file_that_is_no_gzip_in_spite_of_its_name(tmp_path):
    assert texts(written(tmp_path, "a.txt.gz", "plain")) == ["plain"]
    assert texts(written(tmp_path, "b.txt", gzip.compress(b"packed"))) == ["packed"]


@pytest.mark.parametrize(
    ("raw", "found", "why"),
    [
        ("text,n\na,1\nb\nc,3\n", ["a", "c"], "a.csv:3: 1 fields, and the header has 2"),
        ('text,n\na,1\n"b"x,2\nc,3\n', ["a", "c"], "a.csv:3: broken CSV"),
        ('text;n\n"a\nb";1\nc;2\n', ["a\nb", "c"], ""),
        ('text\n"say ""hi"", you"\n', ['say "hi", you'], ""),
    ],
)
def test_csv(tmp_path, raw, found, why):
    tally = Tally()
    assert [one.text for one in read(written(tmp_path, "a.csv", raw), tally=tally)] == found
    assert why in "".join(tally.broken_places)
    assert tally.broken == bool(why)


def test_a_csv_without_a_known_column_or_with_an_open_quote(tmp_path):
    path = written(tmp_path, "a.csv", 'body,n\nx,1\n"y,2\n')
    with pytest.raises(UserError, match="among body, n"):
        list(read(path))
    with pytest.raises(UserError, match="never closed") as told:
        list(read(path, Config(column="body")))
    assert told.value.value == f"{path}:3"
    with pytest.raises(UserError, match='no column "bdoy"'):
        list(read(path, Config(column="bdoy")))


def test_parquet_with_chats_and_other_columns(tmp_path):
    chat = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    parquet.write_table(pa.Table.from_pylist([{"messages": chat, "score": 1.0}] * 3), tmp_path / "a.parquet")
    found = list(read(tmp_path))
    assert [one.place for one in found] == [f"{tmp_path}/a.parquet#{n}" for n in range(3)]
    assert found[0].messages == (Message("user", "a"), Message("assistant", "b"))
    written(tmp_path, "b.parquet", (tmp_path / "a.parquet").read_bytes()[:-20])
    with pytest.raises(UserError, match="b.parquet.*damaged"):
        list(read(tmp_path))


def test_a_parquet_row_that_is_no_utf8(tmp_path):
    words = pa.array([b"good", b"b\xffd", b"fine"], pa.binary()).view(pa.string())
    parquet.write_table(pa.table({"text": words}), tmp_path / "a.parquet")
    tally = Tally()
    assert [one.text for one in read(tmp_path / "a.parquet", tally=tally)] == ["good", "fine"]
    assert "a.parquet#1: text that is no UTF-8" in tally.broken_places[0]


def test_folders_are_read_in_order_and_links_in_circles_end(tmp_path):
    for name in ("b/2.txt", "b/10.md", "a/x.jsonl", "z.txt", "b/picture.png", ".hidden/a.txt", "b/.x.txt"):
        written(tmp_path, name, GOOD if name.endswith("jsonl") else name)
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    (tmp_path / "a" / "loop").symlink_to(tmp_path / "a")
    (tmp_path / "again.txt").symlink_to(tmp_path / "z.txt")
    (tmp_path / "nowhere.txt").symlink_to(tmp_path / "nothing")
    os.mkfifo(tmp_path / "pipe.txt")
    tally = Tally()
    found = [one.place.removeprefix(f"{tmp_path}/") for one in read(tmp_path, tally=tally)]
    assert found == ["again.txt", "a/x.jsonl:1", "b/10.md", "b/2.txt"]
    assert {os.path.basename(one) for one in tally.left_out} == {
        "z.txt", "nowhere.txt", "pipe.txt", "picture.png", ".x.txt"
    }  # fmt: skip
    assert tally.left_out_count == 5


@pytest.mark.parametrize(
    ("name", "why"),
    [("nothing.jsonl", "no such file or folder"), ("a.png", "of no known kind"),
     ("pipe", "neither a file nor a folder"), ("empty", "no file of a known kind")],
)  # fmt: skip
def test_what_is_no_source_is_said(tmp_path, name, why):
    written(tmp_path, "a.png", b"x")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=why):
        list(read(tmp_path / name))


class FakeHub(types.ModuleType):
    """The two calls that are made of huggingface_hub, over a dict of files."""

    def __init__(self, folder, files):
        super().__init__("huggingface_hub")
        self.folder, self.files, self.fetched = folder, files, []

    def HfApi(self):
        return self

    def list_repo_files(self, name, repo_type, revision):
        assert repo_type == "dataset"
        if name != "org/set":
            raise OSError("404: no such dataset\nmore")
        self.revision = revision
        return list(self.files)

    def hf_hub_download(self, name, file, repo_type, revision):
        assert (name, repo_type, revision) == ("org/set", "dataset", self.revision)
        self.fetched.append(file)
        path = self.folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        parquet.write_table(pa.Table.from_pylist([{"text": said} for said in self.files[file]]), path)
        return str(path)


@pytest.fixture
def hub(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    files = {
        "main/train/0001.parquet": ["c"], "main/train/0000.parquet": ["a", "b"], "main/test/0000.parquet": ["d"],
        "small/train/0000.parquet": ["e"], "README.md": [],
    }  # fmt: skip
    fake = FakeHub(tmp_path / "hub", files)
    monkeypatch.setitem(sys.modules, "huggingface_hub", fake)
    return fake


def test_a_dataset_on_the_hub(hub):
    found = read("org/set", Config(subset="main"))
    assert next(found).place == "org/set/main/train/0000.parquet#0"
    assert hub.fetched == ["main/train/0000.parquet"], "files come one by one"
    assert [one.text for one in found] == ["b", "c"]
    assert hub.revision == "refs/convert/parquet"
    assert texts("org/set", subset="main", split="test", revision="v1") == ["d"]
    assert hub.revision == "v1"
    del hub.files["main/train/0000.parquet"], hub.files["main/train/0001.parquet"], hub.files["main/test/0000.parquet"]
    assert texts("org/set") == ["e"], "the only subset there is"


@pytest.mark.parametrize(
    ("name", "settings", "why"),
    [("org/set", {}, "one of main, small"), ("org/set", {"subset": "main", "split": "valid"}, "no file of this split"),
     ("org/other", {}, "neither a file or folder here nor a dataset that the hub gives: 404: no such dataset")],
)  # fmt: skip
def test_what_the_hub_does_not_have(hub, name, settings, why):
    with pytest.raises(UserError, match=why):
        list(read(name, Config(**settings)))


@settings(max_examples=200, deadline=None)
@given(
    raw=st.binary(max_size=400), kind=st.sampled_from(["txt", "json", "jsonl", "csv", "parquet", "txt.gz", "json.gz"])
)
def test_any_bytes_are_read_or_refused_in_a_sentence(tmp_path_factory, raw, kind):
    path = tmp_path_factory.getbasetemp() / f"any.{kind}"
    path.write_bytes(raw)
    tally = Tally()
    try:
        found = list(read(path, tally=tally))
    except UserError:
        return
    assert tally.records == len(found) > 0
    for record in found:
        content(record).encode()


PIECES = st.sampled_from(
    ['{"text": "a"}', "{", "}", "[", "]", ",", '"', "\n", "\r\n", "\\", "text", "é", "\0", "1", ":"]
)


@settings(max_examples=200, deadline=None)
@given(raw=st.lists(PIECES, max_size=30).map("".join), kind=st.sampled_from(["json", "jsonl", "csv"]))
def test_nothing_is_lost_in_silence(tmp_path_factory, raw, kind):
    path = tmp_path_factory.getbasetemp() / f"pieces.{kind}"
    path.write_text(raw)
    tally = Tally()
    try:
        list(read(path, tally=tally))
    except UserError:
        return
    if kind == "jsonl":
        assert tally.records + tally.broken + tally.empty == sum(bool(line.strip()) for line in raw.split("\n"))
