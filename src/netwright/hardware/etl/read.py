"""Files from outside, read with limits: CSV (plain or gzip), and numbers as people write them.

    for at, cells in table(path.read_bytes(), ("Hardware name",), "epoch"): ...

What makes a file unreadable as a whole is a UserError; what is wrong with one line is yielded as such.
"""

from __future__ import annotations

import csv
import gzip
import io
import math
import re
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from netwright.core.error import UserError, did_you_mean

MAX_BYTES = 512 << 20
"""Of a file once unpacked; MLPerf's table of 31,322 results has 19 MB."""
MAX_CELL = 1 << 20

Cells = dict[str, str]


def content(path: Path) -> bytes:
    """The bytes of a file, unpacked where its name ends in .gz. Raises UserError."""
    try:
        if not path.is_file():
            raise UserError("file", str(path), "a readable file", "ls -l")
        if path.stat().st_size > MAX_BYTES:
            raise UserError("file", str(path), f"at most {MAX_BYTES:,} bytes", "split it")
        data = path.read_bytes()
        if path.suffix == ".gz":
            with gzip.open(io.BytesIO(data)) as packed:
                data = packed.read(MAX_BYTES + 1)
            if len(data) > MAX_BYTES:
                raise UserError("file", str(path), f"at most {MAX_BYTES:,} bytes when unpacked", "split it")
    except (EOFError, zlib.error, gzip.BadGzipFile) as fault:
        raise UserError("file", str(path), f"no whole gzip file ({fault})", "fetch it again") from None
    except OSError as fault:
        raise UserError("file", str(path), f"not a readable file ({fault.strerror})", "ls -l") from None
    return data


def table(data: bytes, needed: Sequence[str], source: str) -> Iterator[tuple[str, Cells | str]]:
    """Each row of a CSV file with a header: where it stands, and its cells, or in words what is wrong with it.

    Raises UserError for bytes that are not text, no header, or a column of `needed` that is not there.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as fault:
        raise UserError("file", source, f"UTF-8 text; byte {fault.start} is not", "save it as UTF-8 CSV") from None
    csv.field_size_limit(MAX_CELL)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = next(reader, None)
    except csv.Error as fault:
        raise UserError("file", source, f"CSV; its first line: {fault}", "mend the quotes there") from None
    if header is None:
        raise UserError("file", source, "a CSV file with a header", "look into the file")
    header = [name.strip() for name in header]
    for name in needed:
        if name not in header:
            shown = [column[:40] for column in header if column.strip()][:60]
            raise UserError("column", name, f"not in the file: {did_you_mean(name, shown)}", "look at its first line")
    twice = sorted({name for name in header if name and header.count(name) > 1})
    if twice:
        raise UserError("column", twice[0], "each column once", "look at its first line")
    while True:
        try:
            cells = next(reader, None)
        except csv.Error as fault:
            if "end of data" in str(fault):  # a quote that nobody closes swallows the rest of the file
                raise UserError("file", source, f"CSV; {fault} within quotes", "mend the quotes") from None
            yield f"line {reader.line_num}", f"broken quotes: {fault}"
            continue
        if cells is None:
            return
        at = f"line {reader.line_num}"
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) != len(header):
            yield at, f"{len(cells)} cells, and the header has {len(header)}"
        elif any("\x00" in cell for cell in cells):
            yield at, "a NUL byte"
        else:
            yield at, {name: cell.strip() for name, cell in zip(header, cells, strict=True)}


def number(cell: str, scale: float = 1.0) -> float | str | None:
    """A cell as a number times `scale`; None where it is empty, the text itself where it is no number.

    Thousands may have commas ("1,024"); "Infinity" and "nan" come back as floats for the rules to reject.
    """
    if cell in ("", "-", "N/A", "n/a", "NA", "None", "null"):
        return None
    text = cell.replace(",", "") if re.fullmatch(r"-?\d{1,3}(,\d{3})+(\.\d*)?", cell) else cell
    try:
        value = float(text) if "_" not in text else math.nan
    except ValueError:
        return cell
    return value * scale
