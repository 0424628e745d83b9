-- Every statement of the journal, by name, each with a line of English. `{rows}` stands for a list of placeholders
-- of fixed length that the writer fills up with NULL rows (see commit.py).

-- name: set_meta
-- Remembers a fact about the file.
INSERT INTO meta (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value;

-- name: meta
-- Reads a fact about the file.
SELECT value FROM meta WHERE name = ?;

-- name: add_batch
-- Opens a batch that the file does not know.
INSERT INTO batch (batch, status) VALUES (?, ?);

-- name: batch
-- The status word, round, size and counters of a batch.
SELECT batch, status, round, total, input_bytes, succeeded, failed FROM batch WHERE batch = ?;

-- name: batches
-- The keys of all batches in the file.
SELECT batch FROM batch ORDER BY batch;

-- name: set_status
-- Changes the status word of a batch.
UPDATE batch SET status = ? WHERE batch = ?;

-- name: resume
-- Sets a batch running if it has the status word given last.
UPDATE batch SET status = ? WHERE batch = ? AND status = ?;

-- name: set_total
-- Remembers how many rows the input has and how large it is.
UPDATE batch SET total = ?, input_bytes = ? WHERE batch = ?;

-- name: set_snapshot
-- Keeps the numbers of the moment.
UPDATE batch SET snapshot = ? WHERE batch = ?;

-- name: snapshot
-- The numbers of the moment as last kept.
SELECT snapshot FROM batch WHERE batch = ?;

-- name: unbind
-- Lets go of what a batch was bound to.
DELETE FROM binding WHERE batch = ?;

-- name: untouched
-- Whether nothing of a batch has been sent: no row has ended, no request attempt has failed.
SELECT NOT EXISTS (SELECT 1 FROM answer WHERE answer.batch = batch.batch)
    AND NOT EXISTS (SELECT 1 FROM attempt WHERE attempt.batch = batch.batch AND purpose = 'request')
FROM batch WHERE batch = ?;

-- name: count
-- Adds the results of one group to the counters.
UPDATE batch SET succeeded = succeeded + ?, failed = failed + ? WHERE batch = ?;

-- name: bind
-- Binds a batch to a value.
INSERT INTO binding (batch, name, value) VALUES (?, ?, ?);

-- name: binding
-- What a batch is bound to.
SELECT name, value FROM binding WHERE batch = ? ORDER BY name;

-- name: add_session
-- A process begins to write.
INSERT INTO session (name, batch, pid, host, version, command, settings, started_wall_s, started_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: session_key
-- A process that comes back to a journal it has written to.
SELECT session FROM session WHERE name = ?;

-- name: end_session
-- A process ends in order.
UPDATE session SET ended_wall_s = ? WHERE session = ?;

-- name: sent_nothing
-- Whether no row has ended, and no request attempt has failed, in a session.
SELECT NOT EXISTS (SELECT 1 FROM answer AS a WHERE a.session = s.session)
    AND NOT EXISTS (SELECT 1 FROM attempt AS t WHERE t.session = s.session AND t.purpose = 'request')
FROM session AS s WHERE s.session = ?;

-- name: forget_events
-- Removes what observers were told in a session …
DELETE FROM event WHERE session = ?;

-- name: forget_attempts
-- … and its attempts, none of which was a request's …
DELETE FROM attempt WHERE session = ?;

-- name: forget_session
-- … and the session, as if it had not been.
DELETE FROM session WHERE session = ?;

-- name: sessions
-- All processes that wrote, in order.
SELECT name, batch, pid, host, version, command, settings, started_wall_s, started_at, ended_wall_s
FROM session ORDER BY session;

-- name: session_names
-- Names by key, for a salvage that cannot join.
SELECT session, name FROM session;

-- name: last_answer
-- The highest key in the log of outcomes.
SELECT coalesce(max(answer), 0) FROM answer;

-- name: last_position
-- The highest finished row of a batch.
SELECT coalesce(max(position), -1) FROM finished WHERE batch = ?;

-- name: done
-- Every finished row and whether it succeeded; a resume reads all of it.
SELECT position, kind IS NULL FROM finished WHERE batch = ?;

-- name: hashes
-- A page of finished rows with the hash of their input and whether they failed, in input order.
SELECT position, row_hash, kind IS NOT NULL FROM finished WHERE batch = ? AND position > ? ORDER BY position LIMIT ?;

-- name: attempts_used
-- Attempts charged in this round to rows that have not ended.
SELECT a.position, count(*) FROM attempt AS a
WHERE a.charged = 1 AND a.batch = :batch AND a.round = ?2
  AND NOT EXISTS (SELECT 1 FROM finished AS f WHERE f.batch = a.batch AND f.position = a.position)
GROUP BY a.position;

-- name: insert_finished
-- Ends rows. A row that has ended already is a broken promise (P4) and fails the group.
INSERT INTO finished (batch, position, round, kind, row_hash, answer)
SELECT * FROM (VALUES {rows}) WHERE column1 IS NOT NULL;

-- name: insert_answer
-- Appends outcomes to the log.
INSERT INTO answer (answer, batch, position, round, id, session, instance, model, attempts, attempt, ended_at, outcome)
SELECT * FROM (VALUES {rows}) WHERE column1 IS NOT NULL;

-- name: insert_attempt
-- Appends attempts that failed or were no requests.
INSERT INTO attempt (batch, position, round, number, session, attempt, purpose, instance, unit, kind, detail, charged,
                     latency_s, at)
SELECT * FROM (VALUES {rows}) WHERE column1 IS NOT NULL;

-- name: refund
-- Lets an attempt count no more. The key is that of the index of charged attempts, then of the attempt among them.
UPDATE attempt SET charged = 0
WHERE charged = 1 AND batch = ? AND round = ? AND position = ? AND session = ? AND attempt = ?;

-- name: insert_event
-- Appends what observers were told.
INSERT INTO event (session, at, name, body)
SELECT * FROM (VALUES {rows}) WHERE column1 IS NOT NULL;

-- name: results
-- A page of results in input order; what is missing beside a row is damage, and NULL shows it.
SELECT f.batch, f.position, f.round, f.kind, f.row_hash, a.id, a.session, s.name, a.instance, a.model, a.attempts,
       a.attempt, a.ended_at, a.outcome
FROM finished AS f LEFT JOIN answer AS a USING (answer) LEFT JOIN session AS s ON s.session = a.session
WHERE f.batch = ? AND f.position > ? ORDER BY f.position LIMIT ?;

-- name: failures
-- A page of failed results in input order.
SELECT f.batch, f.position, f.round, f.kind, f.row_hash, a.id, a.session, s.name, a.instance, a.model, a.attempts,
       a.attempt, a.ended_at, a.outcome
FROM finished AS f LEFT JOIN answer AS a USING (answer) LEFT JOIN session AS s ON s.session = a.session
WHERE f.batch = ? AND f.position > ? AND f.kind IS NOT NULL ORDER BY f.position LIMIT ?;

-- name: history
-- The failed ends of a batch's earlier rounds, by round, in input order.
SELECT h.batch, h.position, h.round, h.kind, h.row_hash, a.id, a.session, s.name, a.instance, a.model, a.attempts,
       a.attempt, a.ended_at, a.outcome
FROM history AS h LEFT JOIN answer AS a USING (answer) LEFT JOIN session AS s ON s.session = a.session
WHERE h.batch = ? AND (h.round, h.position) > (?, ?) ORDER BY h.round, h.position LIMIT ?;

-- name: failure_kinds
-- How many requests of a batch failed, by kind.
SELECT kind, count(*) FROM finished WHERE batch = ? AND kind IS NOT NULL GROUP BY kind ORDER BY kind;

-- name: attempts
-- A page of journalled attempts, in the order they were committed.
SELECT a.rowid, a.batch, a.position, a.round, a.number, s.name, a.attempt, a.purpose, a.instance, a.unit, a.kind, a.detail,
       a.charged, a.latency_s, a.at
FROM attempt AS a JOIN session AS s USING (session)
WHERE a.batch = ? AND a.rowid > ? ORDER BY a.rowid LIMIT ?;

-- name: attempt_kinds
-- How many request attempts of a batch failed, by kind.
SELECT kind, count(*) FROM attempt WHERE batch = ? AND purpose = 'request' AND kind IS NOT NULL GROUP BY kind ORDER BY kind;

-- name: events
-- A page of what observers were told, in order.
SELECT e.event, s.name, e.at, e.name, e.body
FROM event AS e JOIN session AS s USING (session) WHERE e.event > ? ORDER BY e.event LIMIT ?;

-- name: keep_history
-- Moves failed rows of the kinds in a JSON list to the history …
INSERT INTO history (batch, position, round, kind, row_hash, answer)
SELECT batch, position, round, kind, row_hash, answer FROM finished
WHERE batch = ? AND kind IN (SELECT value FROM json_each(?));

-- name: reopen
-- … and lets them wait again.
DELETE FROM finished WHERE batch = ? AND kind IN (SELECT value FROM json_each(?));

-- name: next_round
-- Opens a round after so many rows were reopened.
UPDATE batch SET round = round + 1, failed = failed - ?, status = ? WHERE batch = ?;

-- name: salvage
-- Outcomes between two keys of the log, newest first, without help from any other table.
SELECT answer, batch, position, round, id, session, instance, model, attempts, attempt, ended_at, outcome
FROM answer WHERE answer >= ? AND answer < ? ORDER BY answer DESC;

-- name: check_dangling
-- Ends whose outcome is missing or belongs to another row or round.
SELECT count(*) FROM (SELECT batch, position, round, answer FROM finished
                      UNION ALL SELECT batch, position, round, answer FROM history) AS e
LEFT JOIN answer AS a ON a.answer = e.answer
WHERE a.answer IS NULL OR a.batch <> e.batch OR a.position <> e.position OR a.round <> e.round;

-- name: check_orphans
-- Outcomes without an end (positive) or ends that share one (negative).
SELECT (SELECT count(*) FROM answer) - (SELECT count(*) FROM finished) - (SELECT count(*) FROM history);

-- name: check_counts
-- Batches whose counters differ from their rows, or that have more rows than their input.
SELECT count(*) FROM batch AS b WHERE
    b.succeeded <> (SELECT count(*) FROM finished AS f WHERE f.batch = b.batch AND f.kind IS NULL)
    OR b.failed <> (SELECT count(*) FROM finished AS f WHERE f.batch = b.batch AND f.kind IS NOT NULL)
    OR b.total <= (SELECT max(position) FROM finished AS f WHERE f.batch = b.batch);

-- name: check_complete
-- Finished batches with rows that have not ended.
SELECT count(*) FROM batch WHERE status = 'finished' AND total IS NOT succeeded + failed;

-- name: check_kinds
-- Ends and attempts with a kind that is not in a JSON list.
SELECT count(*) FROM (SELECT kind FROM finished UNION ALL SELECT kind FROM history UNION ALL SELECT kind FROM attempt)
WHERE kind IS NOT NULL AND kind NOT IN (SELECT value FROM json_each(?));

-- name: check_history
-- Earlier ends that are not from an earlier round, or that a later end of the same row precedes.
SELECT count(*) FROM history AS h JOIN batch AS b USING (batch)
LEFT JOIN finished AS f ON f.batch = h.batch AND f.position = h.position
WHERE h.round >= b.round OR f.round <= h.round;

-- name: check_attempts
-- Attempts that are named twice, that failed and yet gave the answer, or that belong to no session.
SELECT (SELECT count(*) FROM (SELECT 1 FROM answer WHERE attempt > 0 GROUP BY session, attempt HAVING count(*) > 1))
    + (SELECT count(*) FROM (SELECT 1 FROM attempt GROUP BY session, attempt HAVING count(*) > 1))
    + (SELECT count(*) FROM finished AS f JOIN answer AS a ON a.answer = f.answer
       JOIN attempt AS t ON t.session = a.session AND t.attempt = a.attempt WHERE f.kind IS NULL)
    + (SELECT count(*) FROM finished AS f JOIN answer AS a ON a.answer = f.answer WHERE f.kind IS NULL AND a.attempt = 0)
    + (SELECT count(*) FROM (SELECT session FROM answer UNION ALL SELECT session FROM attempt)
       WHERE session NOT IN (SELECT session FROM session));

-- name: check_charged
-- Rows that were charged more attempts in a round than a number.
SELECT count(*) FROM (SELECT 1 FROM attempt WHERE charged = 1 GROUP BY batch, round, position HAVING count(*) > ?);

-- name: check_instances
-- Ends and attempts at an instance that is not in a JSON list of names.
SELECT count(*) FROM (SELECT instance FROM answer UNION ALL SELECT instance FROM attempt)
WHERE instance <> '' AND instance NOT IN (SELECT value FROM json_each(?));
