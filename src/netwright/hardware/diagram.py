"""The catalogue's tables drawn as text: DBML and Mermaid, out of the schema itself.

    print(dbml())           # paste into dbdiagram.io
    print(mermaid())        # an erDiagram; GitHub and many editors draw it

The tables of runs are there too, because one database holds both. This file knows no table by name.
"""

from __future__ import annotations

import sqlalchemy as sa

from netwright.core.db import schema as runs_and_catalogue
from netwright.hardware import schema as catalogue

FORMATS = ("dbml", "mermaid")


def draw(form: str) -> str:
    """The schema in one of FORMATS."""
    return {"dbml": dbml, "mermaid": mermaid}[form]()


def dbml() -> str:
    """Tables with types, keys, checks and references, in Database Markup Language."""
    return (
        "\n\n".join(["// Made by `netwright hardware diagram`.", *map(_dbml_table, _tables()), *_dbml_references()])
        + "\n"
    )


def mermaid() -> str:
    """An entity-relationship diagram for Mermaid."""
    lines = ["erDiagram"]
    for table in _tables():
        lines.append(f"    {table.name} {{")
        lines += [
            f"        {_type(column).split('(')[0]} {column.name}{_mermaid_key(column)}" for column in table.columns
        ]
        lines.append("    }")
    for key in _references():
        child, parent = key.parent.table.name, key.column.table.name
        many = "o|" if key.parent.nullable else "||"
        lines.append(f"    {parent} {many}--o{{ {child} : {key.parent.name}")
    return "\n".join(lines) + "\n"


def _tables() -> list[sa.Table]:
    """Each table after those it refers to: the catalogue's in its own order, then the others."""
    own = list(catalogue.TABLES)
    return [*own, *(table for table in runs_and_catalogue.sorted_tables if table not in own)]


def _references() -> list[sa.ForeignKey]:
    return [key for table in _tables() for column in table.columns for key in sorted(column.foreign_keys, key=str)]


def _type(column: sa.Column[object]) -> str:
    return str(column.type).lower().replace(" ", "_")


def _dbml_table(table: sa.Table) -> str:
    lines = [f"Table {table.name} {{"]
    key = list(table.primary_key.columns)
    for column in table.columns:
        unique = any(
            isinstance(one, sa.UniqueConstraint) and list(one.columns) == [column] for one in table.constraints
        )
        marks = ["pk"] if key == [column] else []
        marks += ["unique"] if unique or column.unique else []
        marks += [] if column.nullable or key == [column] else ["not null"]
        lines.append(f"  {column.name} {_type(column)}" + (f" [{', '.join(marks)}]" if marks else ""))
    several = [list(one.columns) for one in table.constraints if isinstance(one, sa.UniqueConstraint)]
    indexed = [f"    ({', '.join(c.name for c in columns)}) [unique]" for columns in several if len(columns) > 1]
    indexed = ([f"    ({', '.join(c.name for c in key)}) [pk]"] if len(key) > 1 else []) + sorted(indexed)
    indexed += [
        f"    {', '.join(c.name for c in index.columns)}" for index in sorted(table.indexes, key=lambda i: str(i.name))
    ]
    lines += ["", "  indexes {", *indexed, "  }"] if indexed else []
    checks = sorted(str(one.sqltext) for one in table.constraints if isinstance(one, sa.CheckConstraint))
    if checks:
        lines += ["", "  Note: '''", *(f"    {check}" for check in checks), "  '''"]
    return "\n".join([*lines, "}"])


def _dbml_references() -> list[str]:
    lines = []
    for table in _tables():
        for key in sorted(table.foreign_key_constraints, key=lambda one: list(one.column_keys)):
            own = ", ".join(key.column_keys)
            there = ", ".join(element.column.name for element in key.elements)
            several = len(key.elements) > 1
            left = f"{table.name}.({own})" if several else f"{table.name}.{own}"
            right = f"{key.referred_table.name}.({there})" if several else f"{key.referred_table.name}.{there}"
            action = f" [delete: {key.ondelete.lower()}]" if key.ondelete else ""
            lines.append(f"Ref: {left} > {right}{action}")
    return ["\n".join(lines)]


def _mermaid_key(column: sa.Column[object]) -> str:
    marks = [mark for mark, on in (("PK", column.primary_key), ("FK", bool(column.foreign_keys))) if on]
    return f" {', '.join(marks)}" if marks else ""
