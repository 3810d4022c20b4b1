"""The journal: every finished point in one SQLite file, committed at once, keyed by content.

Write-ahead logging with ``synchronous=NORMAL``: a commit survives the death of the process (kill -9) at once and
costs no wait for the disk; after a power cut the last moments may be missing, never more, and the file is whole.
Several sweeps, also at the same time, may write into one journal.
"""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from accelsim.errors import InputError, Problem

Status = Literal["done", "failed", "crashed"]
"""`failed`: the model refused the point, and will again; `crashed`: its worker died, or something unforeseen."""

FORMAT = 3
"""1 had no reasons of members, 1 and 2 no figures that are absent; such a journal is brought up to date when it is
opened."""
BUSY_S = 60.0
ABSENT = False
"""In the place of a figure; null would be dropped where figures are joined."""
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


def _reading(path: Path) -> str:
    """How SQLite opens a journal in a directory of somebody else: beside a log that it needs, or as it stands."""
    log = path.with_name(f"{path.name}-wal")
    return "mode=ro" if log.is_file() and log.stat().st_size else "mode=ro&immutable=1"


@dataclass(frozen=True)
class Record:
    """What is known of one point."""

    status: Status
    figures: Mapping[str, float]
    error: str | None = None
    seconds: float = 0.0
    absent: frozenset[str] = frozenset()
    """Figures that were asked for and that the point does not have."""

    @classmethod
    def read(cls, status: Status, figures: str, error: str | None, seconds: float) -> Record:
        """A record as the journal has it."""
        found = json.loads(figures)
        absent = frozenset(name for name, value in found.items() if value is ABSENT)
        return cls(status, {name: found[name] for name in found if name not in absent}, error, seconds, absent)

    def written(self) -> str:
        """The figures as the journal has them."""
        return json.dumps({**self.figures, **dict.fromkeys(sorted(self.absent), ABSENT)})


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
        to_read = must_exist and path is not None and not all(os.access(it, os.W_OK) for it in (path, path.parent))
        try:
            place = str(path or ":memory:")
            if to_read and path is not None:
                place = f"{path.resolve().as_uri()}?{_reading(path)}"
            elif path is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
            # Autocommit: what belongs together stands between BEGIN and COMMIT, spelled out.
            self._db = sqlite3.connect(place, timeout=BUSY_S, isolation_level=None, uri=to_read)
            self._open(to_read)
        except (sqlite3.Error, OSError) as error:
            raise self._complaint(error) from None

    def _open(self, to_read: bool) -> None:
        if to_read:
            if self._version() not in (2, FORMAT):
                raise InputError(Problem(f"a journal of format {self._version()}, in a place that cannot be written",
                                         str(self.path)))  # fmt: skip
            return
        if self.path is not None:
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")
        if self._version() == FORMAT:
            return
        self._db.execute("BEGIN IMMEDIATE")
        found = self._version()  # another sweep may have been here meanwhile
        if found not in range(FORMAT + 1):
            self._db.execute("ROLLBACK")
            message = f"a journal of format {found}; this accelsim reads formats 1 to {FORMAT}"
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
        values = (
            key,
            record.status,
            record.written(),
            record.error,
            json.dumps(point),
            version,
            record.seconds,
            time.time(),
        )
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

    @contextmanager
    def _legible(self) -> Iterator[None]:
        """Complains of a file that is damaged, or of somebody else."""
        try:
            yield
        except (sqlite3.Error, json.JSONDecodeError) as error:
            raise self._complaint(error) from None

    def find(self, key: str) -> Record | None:
        """A point by its content."""
        query = "SELECT status, figures, error, seconds FROM points WHERE key = ?"
        with self._legible():
            row = self._db.execute(query, (key,)).fetchone()
            return None if row is None else Record.read(*row)

    def sweeps(self) -> list[SweepRecord]:
        """All sweeps, the last started last."""
        query = "SELECT sweep, name, content, state FROM sweeps ORDER BY started, sweep"
        with self._legible():
            return [SweepRecord(sweep, name, json.loads(content), state)
                    for sweep, name, content, state in self._db.execute(query)]  # fmt: skip

    def rows(self, sweep: str) -> Iterator[tuple[str, Member, Record]]:
        """Key, place and record of every finished point of a sweep, in order of position."""
        query = (
            "SELECT position, members.key, parameters, feasible, reason, status, figures, error, seconds FROM members "
            "JOIN points USING (key) WHERE sweep = ? ORDER BY position"
        )
        with self._legible():
            for row in self._db.execute(query, (sweep,)).fetchall():
                position, key, parameters, feasible, reason, *record = row
                member = Member(sweep, position, json.loads(parameters), bool(feasible), reason)
                yield key, member, Record.read(*record)

    def count(self) -> int:
        """Points in the journal."""
        with self._legible():
            (number,) = self._db.execute("SELECT count(*) FROM points").fetchone()
        return int(number)
