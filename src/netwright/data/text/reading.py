"""Records from files, folders and the hub, one after another, whatever is broken counted and named.

    for record in records("corpus/", Config(unit="paragraph"), tally): ...

A kind of file is one function from its path to rows; a row becomes a record in `conversations`. This file
does not know the shapes of conversations, nor encodings.
"""

from __future__ import annotations

import csv
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from netwright.core import table
from netwright.core.error import UserError
from netwright.data.text import NAMED, Config, Message, Record, Tally, content, conversations, streams
from netwright.data.text.streams import BrokenError, UnreadableError

Row = tuple[str, Any]
"""A place within a file (":17" for a line, "#17" for a row), and what stands there, or the BrokenError it is."""
HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")
BATCH = 256
"""Rows of parquet at once: with texts of 100 kB, 25 MB."""


def records(source: str | Path, config: Config, tally: Tally) -> Iterator[Record]:
    """Every record of a source that can be read. Raises UserError as `text.read` says."""
    path = Path(source)
    if path.exists():
        found: Iterator[tuple[str, Path]] = _files(path, tally)
    elif isinstance(source, str) and HUB_NAME.fullmatch(source):
        found = hub_files(source, config)
    else:
        raise UserError("data", str(source), "no such file or folder, and no org/name of a dataset", "ls")
    for name, file in found:
        tally.files += 1
        try:
            yield from _records(name, file, config, tally)
        except UnreadableError as fault:
            place = f"{name}:{fault.line}" if fault.line else name
            raise UserError("file", place, fault.why, fault.next) from None
        except OSError as fault:
            raise UserError("file", name, f"cannot be read: {fault.strerror or fault}", "check the disk") from fault
    if not tally.files:
        raise UserError("data", str(source), f"no file of a known kind: {' '.join(KINDS)}, .gz of these", "ls")
    if not tally.records:
        if tally.broken:
            raise _too_many(tally)
        raise UserError(
            "data", str(source), f"no text in it: {tally.files:,} files, {tally.empty:,} empty records", "ls"
        )


def _records(name: str, file: Path, config: Config, tally: Tally) -> Iterator[Record]:
    for at, row in _rows(file, kind(file), config, tally):
        place = name + at
        try:
            if isinstance(row, BrokenError):
                raise row
            record, shape = conversations.convert(row, place, config.column)
            if len(content(record)) > config.longest:
                raise BrokenError(_too_long(config))
        except BrokenError as fault:
            _count(place, str(fault), config, tally)
            continue
        if not content(record).strip():
            tally.empty += 1
            continue
        tally.records += 1
        tally.shapes[shape] += 1
        yield _whole(record, tally)


def _count(place: str, why: str, config: Config, tally: Tally) -> None:
    tally.broken += 1
    if len(tally.broken_places) < NAMED:
        tally.broken_places.append(f"{place}: {why}")
    if config.strict:
        raise UserError("record", place, why, "mend or delete it, or read without strict to skip it")
    if tally.broken > 10 and tally.broken > config.broken * (tally.broken + tally.records + tally.empty):
        raise _too_many(tally)


def _too_many(tally: Tally) -> UserError:
    seen = tally.broken + tally.records + tally.empty
    first = "; ".join(tally.broken_places[:3])
    return UserError("broken records", f"{tally.broken:,} of {seen:,}", f"too many to go on: {first}", "mend the file")


def _too_long(config: Config) -> str:
    return f"longer than {config.longest:,} characters: split it, or read it by paragraph or line"


def _whole(record: Record, tally: Tally) -> Record:
    if record.text:
        return Record(text=streams.whole(record.text, tally), place=record.place)
    messages = tuple(Message(one.role, streams.whole(one.content, tally)) for one in record.messages)
    return Record(messages=messages, place=record.place)


def kind(path: Path) -> str:
    """The ending that says how a file is read, ".gz" aside; empty for one that is not known."""
    name = path.name.lower().removesuffix(".gz")
    ending = os.path.splitext(name)[1]
    return ending if ending in KINDS else ""


def _files(path: Path, tally: Tally) -> Iterator[tuple[str, Path]]:
    if not path.is_dir():
        if not path.is_file():
            raise UserError("file", str(path), "neither a file nor a folder", "name a file")
        if not kind(path):
            raise UserError("file", str(path), f"of no known kind: {' '.join(KINDS)}, .gz of these", "rename it")
        yield str(path), path
        return
    seen: set[tuple[int, int]] = set()  # links may lead in circles, or to one file by two names
    for folder, inner, names in os.walk(path, followlinks=True, onerror=lambda fault: tally.skip(str(fault.filename))):
        told = os.stat(folder)
        if (told.st_dev, told.st_ino) in seen:
            inner.clear()
            continue
        seen.add((told.st_dev, told.st_ino))
        inner[:] = sorted(name for name in inner if not name.startswith("."))
        for name in sorted(names):
            file = Path(folder, name)
            about = file.stat() if file.is_file() else None
            if about is None or name.startswith(".") or not kind(file) or (about.st_dev, about.st_ino) in seen:
                tally.skip(str(file))
                continue
            seen.add((about.st_dev, about.st_ino))
            yield str(file), file


def _rows(file: Path, ending: str, config: Config, tally: Tally) -> Iterator[Row]:
    if ending == ".parquet":
        yield from _parquet(file, config)
        return
    try:
        yield from KINDS[ending](streams.decoded(streams.chunks(file), tally), config)
    except BrokenError as fault:  # the file is no text at all
        yield "", fault


def _text_rows(parts: Iterator[str], config: Config) -> Iterator[Row]:
    if config.unit == "line":
        for number, line in streams.lines(parts, config.longest):
            if line is None or line.strip():
                yield f":{number}", BrokenError(_too_long(config)) if line is None else line
        return
    first, size, held = 1, 0, list[str]()
    for number, line in streams.lines(parts, config.longest):
        ends = config.unit == "paragraph" and line is not None and not line.strip()
        if not ends:
            size += len(line) + 1 if line is not None else config.longest + 2
            if size <= config.longest + 1:
                held.append(line or "")
            else:
                held.clear()
        else:
            if size:
                yield _taken(first, size, held, config)
            first, size, held = number + 1, 0, []
    if size or config.unit == "file":
        yield _taken(first, size, held, config)


def _taken(first: int, size: int, held: list[str], config: Config) -> Row:
    place = f":{first}" if config.unit == "paragraph" else ""
    return place, BrokenError(_too_long(config)) if size > config.longest + 1 else "\n".join(held)


def _jsonl(parts: Iterator[str], config: Config) -> Iterator[Row]:
    for number, line in streams.lines(parts, config.longest):
        if line is None:
            yield f":{number}", BrokenError(_too_long(config))
        elif line and not line.isspace():
            try:
                yield f":{number}", streams.loads(line)
            except BrokenError as fault:
                yield f":{number}", fault


def _json(parts: Iterator[str], config: Config) -> Iterator[Row]:
    """An array, objects one after another, or one object with the array of records in its only list of tables."""
    for count, (line, value) in enumerate(streams.Values(parts, config.longest)):
        inner = _only_list(value) if not count and isinstance(value, dict) else None
        if inner is not None:
            yield from ((f"#{n}", row) for n, row in enumerate(inner))
        else:
            yield f":{line}", value


def _only_list(value: dict[str, Any]) -> list[Any] | None:
    lists = [one for one in value.values() if isinstance(one, list) and one and isinstance(one[0], dict)]
    return lists[0] if len(lists) == 1 and not conversations.shape(value) else None


def _csv(parts: Iterator[str], config: Config) -> Iterator[Row]:
    # the module's limit is one for the whole process: it is only ever raised
    csv.field_size_limit(max(csv.field_size_limit(), config.longest))
    numbered = streams.lines(parts, config.longest)
    first = next(numbered, (1, ""))[1]
    if not first:
        return
    delimiter = max(",;\t", key=first.count)

    def told() -> Iterator[str]:
        yield first + "\n"
        for number, line in numbered:
            if line is None:
                raise UnreadableError(number, _too_long(config), "mend the file")
            yield line.replace("\0", "") + "\n"

    reader = csv.reader(told(), delimiter=delimiter, strict=True)
    names: list[str] = []
    while True:
        begun = reader.line_num + 1
        try:
            fields = next(reader, None)
        except csv.Error as fault:
            if "unexpected end" in str(fault):
                why = "a quotation mark is opened here and never closed: all that follows would be lost"
                raise UnreadableError(begun, why, "close it") from None
            yield f":{begun}", BrokenError(f"broken CSV: {fault}")
            continue
        if fields is None:
            return
        if not names:
            names = _header([name.strip() for name in fields], config)
        elif fields and len(fields) != len(names):
            yield f":{begun}", BrokenError(f"{len(fields)} fields, and the header has {len(names)}")
        elif fields:
            yield f":{begun}", dict(zip(names, fields, strict=True))


def _header(names: list[str], config: Config) -> list[str]:
    if config.column not in names if config.column else not conversations.shape(names):
        wanted = f'no column "{config.column}"' if config.column else "no column of text or conversations is known"
        raise UnreadableError(1, f"{wanted} among {', '.join(names)[:200]}", "name the column that holds the text")
    return names


def _parquet(file: Path, config: Config) -> Iterator[Row]:
    import pyarrow as pa
    from pyarrow import parquet

    if file.name.lower().endswith(".gz"):
        with tempfile.NamedTemporaryFile(suffix=".parquet") as unpacked:
            for part in streams.chunks(file):
                unpacked.write(part)
            unpacked.flush()
            yield from _parquet(Path(unpacked.name), config)
        return
    try:
        with parquet.ParquetFile(file, pre_buffer=False) as opened:
            names = _header(opened.schema_arrow.names, config)
            wanted = [config.column] if config.column else [name for name in names if name in _FIELDS]
            at = 0
            for batch in opened.iter_batches(BATCH, columns=wanted, use_threads=False):
                for row in _plain(batch):
                    yield f"#{at}", row
                    at += 1
    except (pa.ArrowException, OSError) as fault:
        why = f"damaged, or no parquet: {str(fault).splitlines()[0][:200]}"
        raise UnreadableError(0, why, "fetch it again") from None


def _plain(batch: Any) -> list[Any]:
    try:
        rows: list[Any] = batch.to_pylist()
        return rows
    except UnicodeDecodeError as fault:
        if len(batch) > 1:  # row by row, to find the one
            return [row for n in range(len(batch)) for row in _plain(batch.slice(n, 1))]
        return [BrokenError(f"text that is no UTF-8: {fault.reason}")]


_FIELDS = {
    "messages", "conversation", "conversations", "system", "chosen", "prompt", "instruction", "input", "output",
    "completion", "response", "question", "answer", *conversations.TEXTS,
}  # fmt: skip


def hub_files(name: str, config: Config) -> Iterator[tuple[str, Path]]:
    """The files of a dataset on the Hugging Face hub, fetched one by one as they are read."""
    hub = table.extra("huggingface_hub", f"no file or folder is called {name}, and a dataset of the hub")
    revision = config.revision or "refs/convert/parquet"
    try:
        listed = sorted(hub.HfApi().list_repo_files(name, repo_type="dataset", revision=revision))
    except Exception as fault:  # the hub's client raises its own, httpx's and OSErrors
        why = f"neither a file or folder here nor a dataset that the hub gives: {str(fault).splitlines()[0][:200]}"
        raise UserError("data", name, why, "check the name and the network") from None
    for file in _of_split(name, [file for file in listed if kind(Path(file))], config):
        try:
            fetched = hub.hf_hub_download(name, file, repo_type="dataset", revision=revision)
        except Exception as fault:
            why = f"the hub does not give {file}: {str(fault).splitlines()[0][:200]}"
            raise UserError("data", name, why, "repeat the command; what was fetched is kept") from None
        yield f"{name}/{file}", Path(fetched)


def _of_split(name: str, files: list[str], config: Config) -> list[str]:
    """Those of a subset and split: SUBSET/SPLIT/0000.parquet, or any file with the split in its name."""
    subsets = sorted({file.split("/")[0] for file in files if file.count("/") >= 2})
    subset = config.subset or (subsets[0] if len(subsets) == 1 else "default")
    if subsets and subset not in subsets:
        raise UserError("subset", config.subset or None, f"one of {', '.join(subsets)[:300]}", f"{name} has these")
    within = [file for file in files if not subsets or file.startswith(f"{subset}/")]
    chosen = [file for file in within if re.search(rf"(^|[/_.-]){re.escape(config.split)}([/_.-]|$)", file)]
    if not chosen:
        splits = ", ".join(within)[:300] or "no file of a known kind"
        raise UserError("split", config.split, f"no file of this split; there are {splits}", f"{name} has these")
    return chosen


KINDS: dict[str, Callable[[Iterator[str], Config], Iterator[Row]]] = {
    ".txt": _text_rows,
    ".md": _text_rows,
    ".json": _json,
    ".jsonl": _jsonl,
    ".ndjson": _jsonl,
    ".csv": _csv,
    ".tsv": _csv,
    ".parquet": lambda parts, config: iter(()),
}
"""Ending -> how the rows of such a file are told; parquet is read by `_parquet`, which seeks."""
