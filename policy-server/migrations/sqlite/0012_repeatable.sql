-- Requests that were carried out under an Idempotency-Key, by the digest of that; `request` is the
-- digest of what was asked, `answer` what was answered, in JSON and without secrets. They take the
-- place of the keys that were made so.
CREATE TABLE repeatable_requests (
    idempotency BLOB PRIMARY KEY,
    request BLOB NOT NULL,
    answer TEXT NOT NULL,
    at_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX repeatable_requests_by_time ON repeatable_requests (at_ms);
INSERT INTO repeatable_requests
    SELECT idempotency, request, json_object('id', key), at_ms FROM key_creations;
DROP TABLE key_creations;
