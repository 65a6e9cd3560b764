"""The archive's tables, opening a connection to them, and what each storage failure means to the user."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from lossearch.archive.records import ACCEPTED, Retention, damaged, encode_json
from lossearch.archive.robustness import robust_mean_sql
from lossearch.errors import UserError
from lossearch.files import RESUME, StorageError

SCHEMA_VERSION = 5
"""The second version keeps the final race; archives of the first are read as of a search without one. The third keeps
every metric of a training, and its device; those of earlier ones are read as without any but the ranking one. The
fourth keeps how far the learning rates of those that raced may be moved. The fifth keeps under which key a candidate
was proposed whose constants training changed; earlier ones tell it in its reason alone."""

WITH_RACES, WITH_METRICS, WITH_MARGINS, WITH_PROPOSALS = 2, 3, 4, 5
"""The first versions with the final race, all metrics, margins of the learning rate, and keys of proposals."""

_TUNED = "constants tuned; proposed as "
PROPOSAL_OF_OLD = (
    f"CASE WHEN substr({{reason}}, 1, {len(_TUNED)}) = '{_TUNED}' THEN substr({{reason}}, {len(_TUNED) + 1}) END"
)
"""SQL for the key of the proposal in archives without a column of it: their only record is the reason's text."""

APPLICATION_ID = 0x4C4F5353  # "LOSS", in the file header: tells an archive from any other SQLite file
_FAILED = "(status <> 'ok' OR metric IS NULL OR abs(metric) = 9e999)"

# `structure` holds each distinct key once, so that a duplicate costs one small row. `score` is an index that
# SQLite itself keeps over `evaluation` (through triggers): the mean metric per structure, task and budget, moved
# towards the worst seed by the share that `robustness` in `meta` says, with the sign turned such that higher merit is
# always better. Everything ranked is read from it without scanning evaluations.
_TABLES = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE structure (
    id INTEGER PRIMARY KEY, key NOT NULL UNIQUE, fingerprint, text TEXT, graph TEXT, complexity INTEGER,
    accepted INTEGER NOT NULL
);
CREATE INDEX structure_fingerprint ON structure (fingerprint) WHERE fingerprint IS NOT NULL;
CREATE TABLE candidate (
    id INTEGER PRIMARY KEY, structure_id INTEGER NOT NULL REFERENCES structure,
    island INTEGER NOT NULL, generation INTEGER NOT NULL, position INTEGER NOT NULL,
    superseded INTEGER NOT NULL DEFAULT 0,
    verdict TEXT NOT NULL, reason TEXT NOT NULL, operator TEXT NOT NULL, parents TEXT, numbers TEXT,
    proposal,
    UNIQUE (island, generation, position, superseded)
);
CREATE INDEX candidate_structure ON candidate (structure_id);
CREATE TABLE evaluation (
    id INTEGER PRIMARY KEY, structure_id INTEGER NOT NULL REFERENCES structure, task TEXT NOT NULL,
    budget INTEGER NOT NULL, seed INTEGER NOT NULL, metric REAL, status TEXT NOT NULL, curve TEXT NOT NULL,
    seconds REAL NOT NULL, step_scale REAL NOT NULL, learning_rate REAL, island INTEGER,
    timestamp REAL NOT NULL,
    disagreements INTEGER NOT NULL DEFAULT 0, metrics TEXT, device TEXT,
    UNIQUE (structure_id, task, budget, seed)
);
CREATE TABLE score (
    structure_id INTEGER NOT NULL REFERENCES structure, task TEXT NOT NULL, budget INTEGER NOT NULL,
    seeds INTEGER NOT NULL, failed INTEGER NOT NULL, merit REAL, complexity INTEGER,
    accepted INTEGER NOT NULL,
    PRIMARY KEY (structure_id, task, budget)
) WITHOUT ROWID;
CREATE INDEX score_rank ON score (task, budget DESC, merit DESC, complexity, structure_id)
    WHERE accepted = 1 AND failed = 0;
CREATE INDEX score_complexity ON score (task, budget, complexity, merit DESC, structure_id)
    WHERE accepted = 1 AND failed = 0;
CREATE TABLE filter_count (
    island INTEGER NOT NULL, filter TEXT NOT NULL, generation INTEGER NOT NULL, considered INTEGER NOT NULL,
    rejected INTEGER NOT NULL, seconds REAL NOT NULL, UNIQUE (island, filter)
);
CREATE TABLE tally (
    kind TEXT NOT NULL, name TEXT NOT NULL, n INTEGER NOT NULL, PRIMARY KEY (kind, name)
) WITHOUT ROWID;
CREATE TABLE latest (island INTEGER PRIMARY KEY, generation INTEGER NOT NULL, position INTEGER NOT NULL);
CREATE TRIGGER structure_accepted AFTER UPDATE OF accepted, complexity ON structure BEGIN
    UPDATE score SET accepted = NEW.accepted, complexity = NEW.complexity WHERE structure_id = NEW.id;
END;
"""

# The race's trainings are no evaluations: the search's own scores stay what they were. `race_standing` holds what the
# race decided when it ended, whole.
_RACE_TABLES = """
CREATE TABLE IF NOT EXISTS race_training (
    id INTEGER PRIMARY KEY, structure_id INTEGER NOT NULL REFERENCES structure, task TEXT NOT NULL,
    budget INTEGER NOT NULL, seed INTEGER NOT NULL, metric REAL, status TEXT NOT NULL, message TEXT NOT NULL,
    seconds REAL NOT NULL, timestamp REAL NOT NULL, metrics TEXT, device TEXT,
    UNIQUE (structure_id, task, budget, seed)
);
CREATE TABLE IF NOT EXISTS race_standing (
    structure_id INTEGER NOT NULL UNIQUE REFERENCES structure, task TEXT NOT NULL, budget INTEGER NOT NULL,
    before INTEGER NOT NULL, seeds INTEGER NOT NULL, failed INTEGER NOT NULL, metric REAL, gap REAL,
    ruled_out INTEGER, p_value REAL, fragile INTEGER NOT NULL DEFAULT 0
);
"""

_MARGIN_TABLE = """
CREATE TABLE IF NOT EXISTS race_margin (
    id INTEGER PRIMARY KEY, structure_id INTEGER NOT NULL REFERENCES structure, task TEXT NOT NULL,
    budget INTEGER NOT NULL, seed INTEGER NOT NULL, factor REAL NOT NULL, metric REAL, kept REAL, status TEXT NOT NULL,
    message TEXT NOT NULL, seconds REAL NOT NULL, timestamp REAL NOT NULL, device TEXT,
    UNIQUE (structure_id, task, budget, seed, factor)
);
"""

SCORES = f"""
SELECT e.structure_id, e.task, e.budget, count(*), sum({_FAILED}),
       CASE WHEN sum({_FAILED}) = 0 THEN {{score}} END, x.complexity, x.accepted
FROM evaluation e JOIN structure x ON x.id = e.structure_id
"""

_TRIGGER = f"""
CREATE TRIGGER evaluation_scored AFTER INSERT ON evaluation BEGIN
    INSERT OR REPLACE INTO score {SCORES}
    WHERE e.structure_id = NEW.structure_id AND e.task = NEW.task AND e.budget = NEW.budget
    GROUP BY e.structure_id, e.task, e.budget;
END;
"""


def create_database(
    path: Path,
    metric: str,
    higher_is_better: bool,
    keep_rejected: Retention,
    directions: Mapping[str, str],
    robustness: float = 0.0,
) -> None:
    """Write an empty archive at `path`, complete or not at all. Raises UserError if something is there."""
    if path.exists():
        raise UserError(
            required="a path for a new archive",
            found=f"{path} exists",
            hint="continue that run with `lossearch resume`, or choose another directory",
        )
    score = robust_mean_sql(1 if higher_is_better else -1, robustness)
    partial = path.with_name(path.name + ".partial")
    meta = {
        "schema_version": str(SCHEMA_VERSION),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "metric": metric,
        "direction": "maximize" if higher_is_better else "minimize",
        "keep_rejected": keep_rejected,
        "directions": encode_json(dict(directions)),
        "robustness": repr(robustness),
    }
    with storage_errors(path):
        partial.unlink(missing_ok=True)
        connection = sqlite3.connect(partial, isolation_level=None)
        try:
            connection.executescript("BEGIN;" + _TABLES + _RACE_TABLES + _MARGIN_TABLE + _TRIGGER.format(score=score))
            connection.executemany("INSERT INTO meta VALUES (?, ?)", meta.items())
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            connection.execute("COMMIT")
        finally:
            connection.close()
        os.replace(partial, path)


def connect(path: Path, read_only: bool) -> sqlite3.Connection:
    """Open an existing archive. Raises UserError if it is missing, no archive, damaged, or from a newer
    version.
    """
    if not path.is_file():
        raise UserError(
            required="an archive",
            found=f"no file {path}",
            hint="check the run directory; if its archive was removed, start the search anew",
        )
    mode = "ro" if read_only else "rw"
    if read_only and not os.access(path.parent, os.W_OK) and not Path(f"{path}-wal").exists():
        mode = "ro&immutable=1"  # otherwise even reading a write-ahead log needs a writable directory
    with storage_errors(path):
        # One caller at a time is ensured by the archive's own lock, so threads may share the connection.
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode={mode}",
            uri=True,
            isolation_level=None,
            timeout=30,
            check_same_thread=False,
        )
        try:
            _verify_header(connection, path)
            _configure(connection, read_only)
            if not read_only:
                _upgrade(connection)
        except BaseException:
            connection.close()
            raise
    return connection


def _verify_header(connection: sqlite3.Connection, path: Path) -> None:
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if application != APPLICATION_ID:
        found = f"{path} is empty" if path.stat().st_size == 0 else f"{path} is a database of another program"
        raise UserError(required="a lossearch archive", found=found, hint="give the directory of a lossearch run")
    if version > SCHEMA_VERSION:
        raise UserError(
            required=f"an archive of schema version {SCHEMA_VERSION} or older",
            found=f"version {version} in {path}",
            hint="update lossearch to read it",
        )


def _configure(connection: sqlite3.Connection, read_only: bool) -> None:
    # Triggers of a file from elsewhere may not reach functions with side effects, and a damaged page is
    # noticed.
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute("PRAGMA cell_size_check = ON")
    connection.execute("PRAGMA cache_size = -65536")
    if read_only:
        return
    # A commit is in the log file when it returns. Killing the process loses none of it, since the pages
    # written are the operating system's; only a power cut may undo the last commits (never damage the file),
    # which NORMAL accepts.
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA foreign_keys = ON")


def _later_columns(table: str) -> str:
    return f"ALTER TABLE {table} ADD COLUMN metrics TEXT; ALTER TABLE {table} ADD COLUMN device TEXT;"


_PROPOSALS = f"""
ALTER TABLE candidate ADD COLUMN proposal;
UPDATE candidate SET proposal = {PROPOSAL_OF_OLD.format(reason="reason")} WHERE verdict = '{ACCEPTED}';
"""


def _upgrade(connection: sqlite3.Connection) -> None:
    """Give an archive of an older version the tables and columns that it lacks."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version < SCHEMA_VERSION:
        added = [_PROPOSALS]
        if version < WITH_RACES:
            added.append(_RACE_TABLES)
        elif version < WITH_MARGINS:
            added.append("ALTER TABLE race_standing ADD COLUMN fragile INTEGER NOT NULL DEFAULT 0;")
        if version < WITH_MARGINS:
            added.append(_MARGIN_TABLE)
        if version < WITH_METRICS:
            tables = ("evaluation", "race_training") if version >= WITH_RACES else ("evaluation",)
            added += map(_later_columns, tables)
        connection.executescript(
            f"BEGIN IMMEDIATE; {' '.join(added)}"
            f" UPDATE meta SET value = '{SCHEMA_VERSION}' WHERE name = 'schema_version';"
            f" PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"
        )


_DISK: dict[int, tuple[str, str]] = {
    sqlite3.SQLITE_FULL: ("free disk space for the archive", "free some space"),
    sqlite3.SQLITE_IOERR: ("a disk that can be read and written", "check the disk"),
}
"""By class of error: what was required of the disk, and how it is mended; then the search goes on."""

_FAILURES: dict[int, tuple[str, str]] = {
    sqlite3.SQLITE_CANTOPEN: ("permission to open the archive", "check the permissions of the run directory"),
    sqlite3.SQLITE_READONLY: (
        "permission to write the archive",
        "check the permissions of the run directory",
    ),
    sqlite3.SQLITE_PERM: ("permission to open the archive", "check the permissions of the run directory"),
    sqlite3.SQLITE_BUSY: ("an archive that no other process writes", "wait for the other process, or end it"),
    sqlite3.SQLITE_LOCKED: (
        "an archive that no other process writes",
        "wait for the other process, or end it",
    ),
    sqlite3.SQLITE_NOTADB: (
        "a lossearch archive",
        "give the directory of a lossearch run, or restore a copy",
    ),
    sqlite3.SQLITE_CORRUPT: (
        "an undamaged archive",
        "it was truncated or overwritten: restore it from a copy",
    ),
}


_SIGNS_OF_DAMAGE = ("Could not decode to UTF-8", "no such table", "no such column", "unsupported file format")
"""How errors without a class of their own begin that a damaged file brings about."""


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn each failure that the user can mend (full disk, damaged file, permissions, …) into a UserError."""
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the low byte is the class of the extended code
        if code in (0, sqlite3.SQLITE_ERROR) and str(error).startswith(_SIGNS_OF_DAMAGE):
            code = sqlite3.SQLITE_CORRUPT
        if code in _DISK:
            required, mend = _DISK[code]
            hint = f"{mend}, then {RESUME}: nothing is lost"
            raise StorageError(required, f"{error} ({path})", hint, mend) from error
        if code not in _FAILURES:
            raise
        required, hint = _FAILURES[code]
        raise UserError(required=required, found=f"{error} ({path})", hint=hint) from error
    except UnicodeDecodeError as error:  # a message of SQLite's that quotes a damaged name
        raise damaged(f"{error} ({path})") from error
