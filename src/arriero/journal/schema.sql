-- The journal of arriero, schema 2. Every row of the input is keyed by (batch, position); the input file itself
-- is the store of what waits, so only what has ended is here. Times are seconds of the engine's monotonic clock
-- unless a column says wall clock; `session` holds one pair of both clocks to translate.

-- Facts about the file: the arriero version that wrote it last, for readers that are too old.
CREATE TABLE meta (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- One row a batch. The counters change in the transaction that changes the rows they count, so a status over
-- 1,000,000 rows reads one row.
CREATE TABLE batch (
    batch INTEGER PRIMARY KEY,
    status TEXT NOT NULL,                 -- core.batch.BatchStatus
    round INTEGER NOT NULL DEFAULT 0,     -- the round that requests started now belong to
    total INTEGER,                        -- rows accepted; NULL until the scan has counted them
    input_bytes INTEGER,                  -- size of the input when it was counted
    succeeded INTEGER NOT NULL DEFAULT 0,
    failed INTEGER NOT NULL DEFAULT 0,
    snapshot BLOB                         -- JSON of the numbers of the moment, for a status in another process
) STRICT;

-- What a batch is bound to (P8): name to canonical value; long values are hashes made by the caller.
CREATE TABLE binding (
    batch INTEGER NOT NULL,
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (batch, name)
) STRICT, WITHOUT ROWID;

-- One row a process that opened the journal for writing. ended_wall_s is NULL for one that was killed.
CREATE TABLE session (
    session INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,            -- 12 hex digits; travels with the attempt id in a header (P15)
    batch INTEGER NOT NULL,
    pid INTEGER NOT NULL,
    host TEXT NOT NULL,
    version TEXT NOT NULL,                -- of arriero
    command TEXT NOT NULL,                -- clean of keys, by the caller
    settings BLOB NOT NULL,               -- JSON, clean of keys, by the caller
    started_wall_s REAL NOT NULL,         -- wall clock, seconds since 1970
    started_at REAL NOT NULL,             -- monotonic clock at the same instant
    ended_wall_s REAL                     -- wall clock of an orderly end
) STRICT;

-- How rows ended: narrow, because a resume reads all of it. One row a request (P1, P4).
CREATE TABLE finished (
    batch INTEGER NOT NULL,
    position INTEGER NOT NULL,
    round INTEGER NOT NULL,
    kind TEXT,                            -- failure kind; NULL: succeeded
    row_hash BLOB NOT NULL,               -- blake2b-128 of the row's bytes
    answer INTEGER NOT NULL,              -- its row in `answer`
    PRIMARY KEY (batch, position)
) STRICT, WITHOUT ROWID;

-- Failed ends of earlier rounds, moved here by a retry; the same columns, one row a request and round.
CREATE TABLE history (
    batch INTEGER NOT NULL,
    position INTEGER NOT NULL,
    round INTEGER NOT NULL,
    kind TEXT NOT NULL,
    row_hash BLOB NOT NULL,
    answer INTEGER NOT NULL,
    PRIMARY KEY (batch, position, round)
) STRICT, WITHOUT ROWID;

-- The outcomes in the order they were committed; appended only, so that an insert touches the last page. It
-- repeats the key, so that a salvage can do without `finished`.
CREATE TABLE answer (
    answer INTEGER PRIMARY KEY,
    batch INTEGER NOT NULL,
    position INTEGER NOT NULL,
    round INTEGER NOT NULL,
    id TEXT NOT NULL,                     -- the row's own id
    session INTEGER NOT NULL,
    instance TEXT NOT NULL,               -- where the deciding attempt ran; '' if it was never sent
    model TEXT NOT NULL,                  -- the model asked for; the one that answered is in the outcome
    attempts INTEGER NOT NULL,            -- made in this round
    attempt INTEGER NOT NULL,             -- id of the deciding one in its session; 0: none
    ended_at REAL NOT NULL,
    -- JSON of core.outcome.Success or Failure; since schema 2 then a newline and 8 hex digits: the CRC-32 of the JSON and
    -- of the columns above but for `answer` (journal.outcome.seal)
    outcome BLOB NOT NULL
) STRICT;

-- Failed request attempts, and all attempts that are no requests (preload, unload, probe, discover).
CREATE TABLE attempt (
    batch INTEGER NOT NULL,
    position INTEGER,                     -- NULL: no request
    round INTEGER,
    number INTEGER NOT NULL,
    session INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    purpose TEXT NOT NULL,
    instance TEXT NOT NULL,
    unit TEXT,                            -- JSON of core.request.Unit
    kind TEXT,                            -- failure kind; NULL: it did not fail
    detail TEXT NOT NULL,                 -- foreign text, shown by `arriero errors` only (P12)
    charged INTEGER NOT NULL,             -- 1: counts towards --retries; a refund makes it 0
    latency_s REAL,                       -- known for attempts that are no requests
    at REAL NOT NULL
) STRICT;

-- Makes the count of charged attempts of a resume a scan of this index alone.
CREATE INDEX attempt_charged ON attempt (batch, round, position) WHERE charged = 1;

-- What observers were told about instances and the fleet; our own words only (P12).
CREATE TABLE event (
    event INTEGER PRIMARY KEY,
    session INTEGER NOT NULL,
    at REAL NOT NULL,
    name TEXT NOT NULL,                   -- class name in core.events
    body TEXT NOT NULL                    -- its JSON
) STRICT;
