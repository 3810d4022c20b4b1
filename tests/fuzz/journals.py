"""Damage to journals of sweeps: rows, tables, bytes of the SQLite file."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from random import Random
from typing import Any

from tests.fuzz.texts import NUMBERS, WORDS, bytes_damaged, misspelt
from tests.fuzz.trees import from_json, pooled, written


def damaged(content: bytes, random: Random, folder: Path) -> bytes:
    """A damaged copy of a journal; `folder` is a place to work in."""
    if random.random() < 0.35:
        return _bytes(content, random)
    path = folder / "work.sqlite"
    path.write_bytes(content)
    try:
        database = sqlite3.connect(path, isolation_level=None)
        database.text_factory = bytes
        try:
            database.execute("PRAGMA journal_mode=DELETE")
            for _ in range(random.choice((1, 1, 2, 4))):
                _change(database, random)
        except sqlite3.Error:  # what the tables themselves refuse never reaches a reader
            pass
        finally:
            database.close()
        return path.read_bytes()
    finally:
        for left in folder.glob("work.sqlite*"):
            left.unlink()


def _bytes(content: bytes, random: Random) -> bytes:
    if random.random() < 0.3:  # header: page size, versions, encoding, format number
        at = random.randrange(100)
        return content[:at] + bytes([random.randrange(256)]) + content[at + 1 :]
    if random.random() < 0.5:  # a digit for another digit: figures stand as text in the pages
        digits = [at for at, byte in enumerate(content) if 48 <= byte < 58]
        at = random.choice(digits)
        return content[:at] + bytes([random.randrange(48, 58)]) + content[at + 1 :]
    return bytes_damaged(content, random)


def _change(database: sqlite3.Connection, random: Random) -> None:
    table = random.choice(("points", "members", "sweeps"))
    columns = [row[1].decode() for row in database.execute(f"PRAGMA table_info({table})")]
    if not columns:  # dropped by the change before
        return
    column = random.choice(columns)
    how = random.random()
    if how < 0.6:
        rows = database.execute(f"SELECT {column} FROM {table}").fetchall()
        if not rows:
            return
        old = random.choice(rows)[0]
        one = f"WHERE {column} IS ?" if random.random() < 0.6 else "WHERE ? IS NOT NULL OR 1"
        database.execute(f"UPDATE {table} SET {column} = ? {one}", (_value(old, random), old))
    elif how < 0.7:
        database.execute(f"DELETE FROM {table} WHERE {column} IN (SELECT {column} FROM {table} LIMIT 1)")
    elif how < 0.8:
        database.execute(f"PRAGMA user_version={random.choice((0, 1, 2, 3, 4, 5, -1, 2**31 - 1))}")
    elif how < 0.85:
        database.execute(f"ALTER TABLE {table} RENAME COLUMN {column} TO {misspelt(column, random).strip() or 'x'}")
    elif how < 0.9:
        database.execute(f"DROP TABLE {table}")
    elif how < 0.95:  # without the constraints
        database.execute(f"CREATE TABLE other AS SELECT * FROM {table}")
        database.execute(f"DROP TABLE {table}")
        database.execute(f"ALTER TABLE other RENAME TO {table}")
        database.execute(f"UPDATE {table} SET {column} = ?", (_value(None, random),))
    else:
        database.execute(f"INSERT INTO {table} SELECT * FROM {table} LIMIT 1")


def _value(old: Any, random: Random) -> Any:
    if isinstance(old, bytes) and old[:1] in (b"{", b"[") and random.random() < 0.7:
        tree = from_json(old.decode())
        return (
            written(pooled([tree], as_json=True)(tree, random)).encode(errors="surrogatepass").decode(errors="replace")
        )
    return random.choice(
        (
            None,
            b"\xff\xfe",
            "",
            "{}",
            "[]",
            "null",
            "3",
            '{"energy_pj": NaN}',
            '{"energy_pj": "x"}',
            '{"energy_pj": 1e999}',
            '{"energy_pj": null}',
            random.randint(-(2**63), 2**63 - 1),
            random.choice((0, 1, -1, 1e308, float("inf"), 2.5)),
            random.choice(NUMBERS),
            random.choice(WORDS).encode(errors="replace").decode(),
            "9" * 5000,
            "[" * 100_000,
        )
    )
