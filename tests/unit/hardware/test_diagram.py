"""The diagrams are of the schema, table by table, and the one in the docs is the present one."""

import re
from pathlib import Path

import pytest

from netwright.core.db import schema
from netwright.hardware import diagram

DOCS = Path(__file__).parents[3] / "docs" / "reference" / "schema.dbml"


def test_every_table_column_and_reference_is_there():
    text = diagram.dbml()
    blocks = dict(re.findall(r"^Table (\w+) \{\n(.*?)^\}", text, re.MULTILINE | re.DOTALL))
    assert set(blocks) == set(schema.tables)
    for name, table in schema.tables.items():
        for column in table.columns:
            assert re.search(rf"^  {column.name} ", blocks[name], re.MULTILINE), f"{name}.{column.name}"
    wanted = sum(len(table.foreign_key_constraints) for table in schema.tables.values())
    assert text.count("\nRef: ") + text.startswith("Ref: ") == wanted
    assert "Ref: devices.manufacturer_id > manufacturers.id [delete: restrict]" in text


def test_mermaid_says_the_same():
    text = diagram.mermaid()
    assert text.startswith("erDiagram\n")
    assert set(re.findall(r"^    (\w+) \{$", text, re.MULTILINE)) == set(schema.tables)
    assert re.search(r"manufacturers \|\|--o\{ devices : manufacturer_id", text)


def test_it_is_the_same_every_time():
    assert diagram.dbml() == diagram.dbml()
    assert diagram.mermaid() == diagram.mermaid()


@pytest.mark.parametrize("form", diagram.FORMATS)
def test_every_format_can_be_drawn(form):
    assert "devices" in diagram.draw(form)


def test_the_diagram_in_the_docs_is_the_present_one():
    assert DOCS.read_text() == diagram.dbml(), "run: netwright hardware diagram -o docs/reference/schema.dbml"
