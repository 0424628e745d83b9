-- The tables of a journal of schema 1, as arriero made them before it sealed outcomes; the package has the newest ones only.
CREATE TABLE meta (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE batch (
    batch INTEGER PRIMARY KEY,
    status TEXT NOT NULL,
    round INTEGER NOT NULL DEFAULT 0,
    total INTEGER,
    input_bytes INTEGER,
    succeeded INTEGER NOT NULL DEFAULT 0,
    failed INTEGER NOT NULL DEFAULT 0,
    snapshot BLOB
) STRICT;
CREATE TABLE binding (
    batch INTEGER NOT NULL,
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (batch, name)
) STRICT, WITHOUT ROWID;
CREATE TABLE session (
    session INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    batch INTEGER NOT NULL,
    pid INTEGER NOT NULL,
    host TEXT NOT NULL,
    version TEXT NOT NULL,
    command TEXT NOT NULL,
    settings BLOB NOT NULL,
    started_wall_s REAL NOT NULL,
    started_at REAL NOT NULL,
    ended_wall_s REAL
) STRICT;
CREATE TABLE finished (
    batch INTEGER NOT NULL,
    position INTEGER NOT NULL,
    round INTEGER NOT NULL,
    kind TEXT,
    row_hash BLOB NOT NULL,
    answer INTEGER NOT NULL,
    PRIMARY KEY (batch, position)
) STRICT, WITHOUT ROWID;
CREATE TABLE history (
    batch INTEGER NOT NULL,
    position INTEGER NOT NULL,
    round INTEGER NOT NULL,
    kind TEXT NOT NULL,
    row_hash BLOB NOT NULL,
    answer INTEGER NOT NULL,
    PRIMARY KEY (batch, position, round)
) STRICT, WITHOUT ROWID;
CREATE TABLE answer (
    answer INTEGER PRIMARY KEY,
    batch INTEGER NOT NULL,
    position INTEGER NOT NULL,
    round INTEGER NOT NULL,
    id TEXT NOT NULL,
    session INTEGER NOT NULL,
    instance TEXT NOT NULL,
    model TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    ended_at REAL NOT NULL,
    outcome BLOB NOT NULL
) STRICT;
CREATE TABLE attempt (
    batch INTEGER NOT NULL,
    position INTEGER,
    round INTEGER,
    number INTEGER NOT NULL,
    session INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    purpose TEXT NOT NULL,
    instance TEXT NOT NULL,
    unit TEXT,
    kind TEXT,
    detail TEXT NOT NULL,
    charged INTEGER NOT NULL,
    latency_s REAL,
    at REAL NOT NULL
) STRICT;
CREATE INDEX attempt_charged ON attempt (batch, round, position) WHERE charged = 1;
CREATE TABLE event (
    event INTEGER PRIMARY KEY,
    session INTEGER NOT NULL,
    at REAL NOT NULL,
    name TEXT NOT NULL,
    body TEXT NOT NULL
) STRICT;
