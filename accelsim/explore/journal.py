"""The journal: every finished point in one SQLite file, committed at once, keyed by content.

Write-ahead logging with ``synchronous=NORMAL``: a commit survives the death of the process (kill -9) at once and
costs no wait for the disk; after a power cut the last moments may be missing, never more, and the file is whole.
Several sweeps, also at the same time, may write into one journal.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from accelsim.errors import InputError, Problem

Status = Literal["done", "failed", "crashed"]
"""`failed`: the model refused the point, and will again; `crashed`: its worker died, or something unforeseen."""

FORMAT = 2
"""1 had no reasons of members; such a journal is brought up to date when it is opened."""
BUSY_S = 60.0
_TABLES = """
CREATE TABLE IF NOT EXISTS points (
    key TEXT PRIMARY KEY, status TEXT NOT NULL, figures TEXT NOT NULL, error TEXT,
    point TEXT NOT NULL, version TEXT NOT NULL, seconds REAL NOT NULL, finished REAL NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS sweeps (
    sweep TEXT PRIMARY KEY, name TEXT NOT NULL, content TEXT NOT NULL, started REAL NOT NULL, state TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS members (
    sweep TEXT NOT NULL, position INTEGER NOT NULL, key TEXT NOT NULL, parameters TEXT NOT NULL,
    feasible INTEGER NOT NULL, reason TEXT, PRIMARY KEY (sweep, position)
) WITHOUT ROWID;
"""


@dataclass(frozen=True)
class Record:
    """What is known of one point."""

    status: Status
    figures: Mapping[str, float]
    error: str | None = None
    seconds: float = 0.0


@dataclass(frozen=True)
class Member:
    """The place of a point in a sweep."""

    sweep: str
    position: int
    parameters: Mapping[str, Any]
    feasible: bool
    """Whether the sweep's constraints hold."""
    reason: str | None = None
    """Why one of them could not be computed."""

    def insertion(self, key: str) -> tuple[str, tuple[Any, ...]]:
        """The statement that notes it."""
        values = (self.sweep, self.position, key, json.dumps(self.parameters), int(self.feasible), self.reason)
        return (
            "INSERT OR REPLACE INTO members (sweep, position, key, parameters, feasible, reason) "
            "VALUES (?, ?, ?, ?, ?, ?)"
        ), values


@dataclass(frozen=True)
class SweepRecord:
    """One sweep of a journal."""

    sweep: str
    name: str
    content: Mapping[str, Any]
    state: str
    """`running` (or stopped without a word), `interrupted`, `finished`."""


class Journal:
    """An open journal; one of None lives in memory."""

    def __init__(self, path: Path | None, *, must_exist: bool = False) -> None:
        self.path = path
        if must_exist and path is not None and not path.is_file():
            raise InputError(Problem("there is no journal", str(path)))
        try:
            if path is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
            # Autocommit: what belongs together stands between BEGIN and COMMIT, spelled out.
            self._db = sqlite3.connect(path or ":memory:", timeout=BUSY_S, isolation_level=None)
            self._open()
        except (sqlite3.Error, OSError) as error:
            raise self._complaint(error) from None

    def _open(self) -> None:
        if self.path is not None:
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")
        if self._version() == FORMAT:
            return
        self._db.execute("BEGIN IMMEDIATE")
        found = self._version()  # another sweep may have been here meanwhile
        if found not in (0, 1, FORMAT):
            self._db.execute("ROLLBACK")
            message = f"a journal of format {found}; this accelsim reads formats 1 and {FORMAT}"
            raise InputError(Problem(message, str(self.path)))
        if found == 1:
            self._db.execute("ALTER TABLE members ADD COLUMN reason TEXT")
        for statement in _TABLES.split(";"):
            self._db.execute(statement)
        self._db.execute(f"PRAGMA user_version={FORMAT}")
        self._db.execute("COMMIT")

    def _version(self) -> int:
        (found,) = self._db.execute("PRAGMA user_version").fetchone()
        return int(found)

    def _complaint(self, error: Exception) -> InputError:
        text = str(error)
        if "full" in text:
            text += "; everything finished is kept: make room and run again with --resume"
        return InputError(Problem(f"the journal cannot be used: {text}", str(self.path or "journal")))

    def close(self) -> None:
        """Close it; the write-ahead log is folded into the file where nobody else has it open."""
        self._db.close()

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- writing -------------------------------------------------------------------------------------

    def _write(self, statements: Iterable[tuple[str, tuple[Any, ...]]]) -> None:
        """All or nothing, committed on return.

        Raises:
            InputError: a full disk, a file that cannot be written.
        """
        try:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                for statement, values in statements:
                    self._db.execute(statement, values)
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise self._complaint(error) from None

    def begin(self, sweep: str, name: str, content: Mapping[str, Any]) -> None:
        """Note that a sweep runs."""
        row = (sweep, name, json.dumps(content), time.time(), "running")
        self._write([("INSERT OR REPLACE INTO sweeps VALUES (?, ?, ?, ?, ?)", row)])

    def end(self, sweep: str, state: str) -> None:
        """Note how it ended."""
        self._write([("UPDATE sweeps SET state = ? WHERE sweep = ?", (state, sweep))])

    def record(
        self, key: str, record: Record, point: Mapping[str, Any], version: str, members: Iterable[Member]
    ) -> None:
        """Commit one finished point and its places.

        A point that another sweep finished meanwhile is kept as it is, with figures that only one of them asked
        for joined; a crash gives way to anything.
        """
        figures = json.dumps(record.figures)
        values = (key, record.status, figures, record.error, json.dumps(point), version, record.seconds, time.time())
        keep = (
            "INSERT INTO points VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT(key) DO UPDATE SET "
            "status = excluded.status, figures = json_patch(figures, excluded.figures), error = excluded.error, "
            "seconds = excluded.seconds, finished = excluded.finished "
            "WHERE status != 'done' OR excluded.status = 'done'"
        )
        self._write([(keep, values), *(member.insertion(key) for member in members)])

    def join(self, members: Iterable[tuple[str, Member]]) -> None:
        """Places of points that are known already, by key."""
        self._write(member.insertion(key) for key, member in members)

    # -- reading -------------------------------------------------------------------------------------

    def find(self, key: str) -> Record | None:
        """A point by its content."""
        row = self._db.execute("SELECT status, figures, error, seconds FROM points WHERE key = ?", (key,)).fetchone()
        return None if row is None else Record(row[0], json.loads(row[1]), row[2], row[3])

    def sweeps(self) -> list[SweepRecord]:
        """All sweeps, the last started last."""
        rows = self._db.execute("SELECT sweep, name, content, state FROM sweeps ORDER BY started, sweep").fetchall()
        return [SweepRecord(sweep, name, json.loads(content), state) for sweep, name, content, state in rows]

    def rows(self, sweep: str) -> Iterator[tuple[str, Member, Record]]:
        """Key, place and record of every finished point of a sweep, in order of position."""
        query = (
            "SELECT position, members.key, parameters, feasible, reason, status, figures, error, seconds FROM members "
            "JOIN points USING (key) WHERE sweep = ? ORDER BY position"
        )
        for row in self._db.execute(query, (sweep,)):
            position, key, parameters, feasible, reason, status, figures, error, seconds = row
            member = Member(sweep, position, json.loads(parameters), bool(feasible), reason)
            yield key, member, Record(status, json.loads(figures), error, seconds)

    def count(self) -> int:
        """Points in the journal."""
        (number,) = self._db.execute("SELECT count(*) FROM points").fetchone()
        return int(number)
