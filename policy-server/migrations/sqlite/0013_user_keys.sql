-- User keys: secrets of an hour or so that keys were exchanged for. They spend from their key, and
-- everything that is asked about them is answered by its row.
CREATE TABLE user_keys (
    digest BLOB PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    key TEXT NOT NULL REFERENCES keys (id),
    made_ms INTEGER NOT NULL,
    ends_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX user_keys_of_key ON user_keys (key, made_ms);
CREATE INDEX user_keys_by_end ON user_keys (ends_ms);
