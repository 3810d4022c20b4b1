"""The journal: every finished point in one SQLite file, committed at once, keyed by content.

Write-ahead logging with ``synchronous=NORMAL``: a commit survives the death of the process (kill -9) at once and
costs no wait for the disk; after a power cut the last moments may be missing, never more, and the file is whole.
Several sweeps, also at the same time, may write into one journal.

Each row carries a checksum of all its columns. One that does not bear it out says nothing: its point counts as never
done. Where the file itself is damaged, what is sound is kept in a new set of tables.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from accelsim.core.errors import InputError, Problem
from accelsim.core.files import exists, is_file

Status = Literal["done", "failed", "crashed"]
"""`failed`: the model refused the point, and will again; `crashed`: its worker died, or something unforeseen."""

FORMAT = 4
"""Another version's journal is refused: its points have other keys, so that none of them could be served."""
APPLICATION = int.from_bytes(b"acsj", "big")
"""What SQLite's header says of whose file it is, from format 4 on."""
BUSY_S = 60.0
ABSENT = False
"""In the place of a figure; null would not survive where figures are joined."""
_COLUMNS = {
    "points": ("key", "status", "figures", "error", "point", "version", "seconds", "finished"),
    "sweeps": ("sweep", "name", "content", "started", "state"),
    "members": ("sweep", "position", "key", "parameters", "feasible", "reason"),
}
_KEYS = {"points": "key", "sweeps": "sweep", "members": "sweep, position"}


def _statement_of_table(name: str) -> str:
    # Columns without types and rules: what a row may be is the checksum's word, whatever became of its bytes.
    return f"CREATE TABLE {name} ({', '.join(_COLUMNS[name])}, checksum, PRIMARY KEY ({_KEYS[name]})) WITHOUT ROWID"


def _checksum(values: Iterable[Any]) -> str:
    text = "\0".join(value if type(value) is str else f"\1{value!r}" for value in values)
    return hashlib.blake2b(text.encode("utf-8", "backslashreplace"), digest_size=8).hexdigest()


def _is_sound(row: Sequence[Any]) -> bool:
    """Whether a row, its checksum last, is the one that was written."""
    return bool(_checksum(row[:-1]) == row[-1])


def _reading(path: Path) -> str:
    """How SQLite opens a journal in a directory of somebody else: beside a log that it needs, or as it stands."""
    log = path.with_name(f"{path.name}-wal")
    return "mode=ro" if is_file(log) and log.stat().st_size else "mode=ro&immutable=1"


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

    def stated(self) -> dict[str, float]:
        """The figures as the journal has them."""
        return {**self.figures, **dict.fromkeys(sorted(self.absent), ABSENT)}


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

    def row(self, key: str) -> tuple[Any, ...]:
        """As the journal has it."""
        return self.sweep, self.position, key, json.dumps(self.parameters), int(self.feasible), self.reason


@dataclass(frozen=True)
class SweepRecord:
    """One sweep of a journal."""

    sweep: str
    name: str
    content: Mapping[str, Any]
    state: str
    """`running` (or stopped without a word), `interrupted`, `finished`."""


@dataclass
class Places:
    """What a journal has of one sweep."""

    rows: list[tuple[str, Member, Record]] = field(default_factory=list)
    """Key, place and record of every finished point, in order of position."""
    damaged: list[str] = field(default_factory=list)
    """Points whose rows are not those that were written, in words."""


class Journal:
    """An open journal; one of None lives in memory."""

    def __init__(self, path: Path | None, *, must_exist: bool = False) -> None:
        self.path = path
        self.damaged = 0
        """Rows of other things that were found not to be those that were written."""
        self.damaged_points: set[str] = set()
        """Keys of points of which the same was found."""
        try:
            if must_exist and path is not None and not exists(path):
                raise InputError(Problem("there is no journal", str(path)))
            if path is not None and exists(path) and not is_file(path):
                raise InputError(Problem("expected a file", str(path)))
            to_read = must_exist and path is not None and not all(os.access(it, os.W_OK) for it in (path, path.parent))
            place = str(path or ":memory:")
            if to_read and path is not None:
                place = f"{path.resolve().as_uri()}?{_reading(path)}"
            elif path is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
            # Autocommit: what belongs together stands between BEGIN and COMMIT, spelled out.
            self._db = sqlite3.connect(place, timeout=BUSY_S, isolation_level=None, uri=to_read)
        except (sqlite3.Error, OSError, ValueError) as error:
            raise self._complaint(error) from None
        self._db.text_factory = lambda raw: raw.decode("utf-8", "surrogateescape")
        try:
            with self._explaining_errors():
                self._open(must_exist, to_read)
        except BaseException:
            self._db.close()
            raise

    def _open(self, must_exist: bool, to_read: bool) -> None:
        is_empty = self._is_empty()  # before anything of somebody else is touched
        if must_exist and is_empty:
            raise InputError(Problem("the journal has no sweep", str(self.path)))
        if not to_read:
            if self.path is not None:
                self._db.execute("PRAGMA journal_mode=WAL")
                self._db.execute("PRAGMA synchronous=NORMAL")
            if is_empty:
                with self._transaction():
                    if self._is_empty():  # another sweep may have been here meanwhile
                        self._make_tables()
        damage = self._damage()
        if damage is not None and must_exist:
            message = f"the journal is damaged ({damage}); run its sweep again: what is sound is kept"
            raise InputError(Problem(message, str(self.path)))
        if damage is not None:
            self._mend()

    def _is_empty(self) -> bool:
        """Whether there is nothing yet.

        Raises:
            InputError: it is no journal, or one of another format.
        """
        (tables,) = self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()
        (application,) = self._db.execute("PRAGMA application_id").fetchone()
        (found,) = self._db.execute("PRAGMA user_version").fetchone()
        if not tables and not application and not found:
            return True
        if application == APPLICATION and found == FORMAT:
            return False
        if application != APPLICATION and not self._is_older(found):
            raise InputError(Problem("an SQLite file of something else, no journal", str(self.path)))
        message = (
            f"a journal of format {found}{self._writer()}; this one reads format {FORMAT}: move the file away, or give "
            "another --out or --journal"
        )
        raise InputError(Problem(message, str(self.path)))

    def _is_older(self, found: int) -> bool:
        tables = {name for (name,) in self._db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        return 1 <= found < FORMAT and tables >= _COLUMNS.keys()

    def _writer(self) -> str:
        try:
            row = self._db.execute("SELECT version FROM points LIMIT 1").fetchone()
        except sqlite3.Error:
            return ""
        return f", written by accelsim {str(row[0]).partition('+')[0]}" if row else ""

    def _make_tables(self) -> None:
        for name in _COLUMNS:
            self._db.execute(_statement_of_table(name))
        self._db.execute(f"PRAGMA application_id={APPLICATION}")
        self._db.execute(f"PRAGMA user_version={FORMAT}")

    def _damage(self) -> str | None:
        """What is wrong with the file as SQLite sees it; None where nothing is."""
        found = str(self._db.execute("PRAGMA integrity_check(1)").fetchone()[0])
        return None if found == "ok" else " ".join(found.split())[:200]

    def _mend(self) -> None:
        """Sound rows into new tables."""
        with self._transaction():
            for name, columns in _COLUMNS.items():
                rows = []
                try:
                    for row in self._db.execute(f"SELECT {', '.join(columns)}, checksum FROM {name}"):
                        if _is_sound(row):
                            rows.append(row)
                        else:
                            self.damaged += 1
                except sqlite3.Error:
                    self.damaged += 1  # what lies behind cannot be reached
                self._db.execute(f"DROP TABLE {name}")
                self._db.execute(_statement_of_table(name))
                for row in rows:
                    self._put(name, row[:-1])
        self._db.execute("VACUUM")
        damage = self._damage()
        if damage is not None:
            raise sqlite3.DatabaseError(damage)

    def _complaint(self, error: Exception) -> InputError:
        text = " ".join(str(error).split())[:300]
        if "full" in text:
            text += "; everything finished is kept: make room and run again with --resume"
        elif "malformed" in text or "corrupt" in text:
            text += "; it is damaged beyond repair: move it away and run again"
        return InputError(Problem(f"the journal cannot be used: {text}", str(self.path or "journal")))

    def close(self) -> None:
        """Close it; the write-ahead log is folded into the file where nobody else has it open."""
        self._db.close()

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def _explaining_errors(self) -> Iterator[None]:
        """Complains of a full disk, and of a file that is damaged, locked, or cannot be written."""
        try:
            yield
        except (sqlite3.Error, json.JSONDecodeError, UnicodeError, MemoryError) as error:
            raise self._complaint(error) from None

    # -- writing -------------------------------------------------------------------------------------

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """All or nothing, committed at the end.

        Raises:
            InputError: a full disk, a file that cannot be written.
        """
        with self._explaining_errors():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    def _put(self, table: str, values: Sequence[Any]) -> None:
        marks = ", ".join("?" * (len(values) + 1))
        self._db.execute(f"INSERT OR REPLACE INTO {table} VALUES ({marks})", (*values, _checksum(values)))

    def begin(self, sweep: str, name: str, content: Mapping[str, Any]) -> None:
        """Note that a sweep runs, and forget damaged rows that it will not write over."""
        with self._transaction():
            self._forget_damaged("sweeps", "SELECT * FROM sweeps", ())
            self._forget_damaged("members", "SELECT * FROM members WHERE sweep = ?", (sweep,))
            self._put("sweeps", (sweep, name, json.dumps(content), time.time(), "running"))

    def _forget_damaged(self, table: str, query: str, values: Sequence[Any]) -> None:
        keys = _KEYS[table].split(", ")
        condition = " AND ".join(f"{name} IS ?" for name in keys)
        for row in [row for row in self._db.execute(query, values) if not _is_sound(row)]:
            self._db.execute(f"DELETE FROM {table} WHERE {condition}", row[: len(keys)])
            self.damaged += 1

    def end(self, sweep: str, state: str) -> None:
        """Note how it ended."""
        with self._transaction():
            row = self._db.execute("SELECT * FROM sweeps WHERE sweep = ?", (sweep,)).fetchone()
            if row is not None and _is_sound(row):
                self._put("sweeps", (*row[:-2], state))

    def record(
        self, key: str, record: Record, point: Mapping[str, Any], version: str, members: Iterable[Member]
    ) -> None:
        """Commit one finished point and its places.

        A point that another sweep finished meanwhile is kept as it is, with figures that only one of them asked
        for joined; a crash gives way to anything.
        """
        with self._transaction():
            known = self._point(key)
            figures = {**(known.stated() if known else {}), **record.stated()}
            if known is None or known.status != "done" or record.status == "done":
                error = None if record.error is None else record.error.encode("utf-8", "backslashreplace").decode()
                self._put("points", (key, record.status, json.dumps(figures), error, json.dumps(point), version,
                                     record.seconds, time.time()))  # fmt: skip
            for member in members:
                self._put("members", member.row(key))

    def join(self, members: Iterable[tuple[str, Member]]) -> None:
        """Places of points that are known already, by key."""
        with self._transaction():
            for key, member in members:
                self._put("members", member.row(key))

    # -- reading -------------------------------------------------------------------------------------

    def _point(self, key: str) -> Record | None:
        row = self._db.execute("SELECT * FROM points WHERE key = ?", (key,)).fetchone()
        if row is None or not _is_sound(row):
            self.damaged_points.update([key] if row is not None else [])
            return None
        return Record.read(row[1], row[2], row[3], row[6])

    def find(self, key: str) -> Record | None:
        """A point by its content; one whose row is damaged counts as never done."""
        with self._explaining_errors():
            return self._point(key)

    def sweeps(self) -> list[SweepRecord]:
        """All sweeps, the last started last; damaged ones are left out and counted."""
        with self._explaining_errors():
            rows = self._db.execute("SELECT * FROM sweeps").fetchall()
            sound = sorted((row for row in rows if _is_sound(row)), key=lambda row: (row[3], row[0]))
            self.damaged += len(rows) - len(sound)
            return [SweepRecord(sweep, name, json.loads(content), state) for sweep, name, content, _, state, _ in sound]

    def places(self, sweep: str) -> Places:
        """What is known of a sweep."""
        query = (
            "SELECT members.*, points.* FROM members LEFT JOIN points ON members.key = points.key "
            "WHERE sweep = ? ORDER BY position"
        )
        found, width = Places(), len(_COLUMNS["members"]) + 1
        with self._explaining_errors():
            for row in self._db.execute(query, (sweep,)):
                place, point = row[:width], row[width:]
                if not _is_sound(place):
                    found.damaged.append(f"place {place[1]!s:.20}")
                    continue
                _, position, key, text, feasible, reason, _ = place
                parameters = json.loads(text)
                if not _is_sound(point):
                    chosen = ", ".join(f"{name} {value}" for name, value in parameters.items() if value is not None)
                    found.damaged.append(f"point {position} ({chosen})")
                    continue
                member = Member(sweep, position, parameters, bool(feasible), reason)
                found.rows.append((key, member, Record.read(point[1], point[2], point[3], point[6])))
        return found

    def count(self) -> int:
        """Points in the journal."""
        with self._explaining_errors():
            (number,) = self._db.execute("SELECT count(*) FROM points").fetchone()
        return int(number)
