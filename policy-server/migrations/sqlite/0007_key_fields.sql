-- Keys: what people say of them, restrictions, states that lists can be filtered by, totals of use,
-- secrets that end later than the next begins, and every list by an index.

ALTER TABLE keys ADD COLUMN description TEXT NOT NULL DEFAULT '';
ALTER TABLE keys ADD COLUMN notes TEXT NOT NULL DEFAULT '';
ALTER TABLE keys ADD COLUMN tags TEXT NOT NULL DEFAULT '[]';
ALTER TABLE keys ADD COLUMN kind TEXT NOT NULL DEFAULT 'application';
ALTER TABLE keys ADD COLUMN max_call INTEGER;
ALTER TABLE keys ADD COLUMN allowed_ips TEXT;
-- Grows with every change that an administrator makes.
ALTER TABLE keys ADD COLUMN version INTEGER NOT NULL DEFAULT 1;
-- `life`, or 'expired' where an active key's time is over. The server notes that within a second or
-- so; what filters admit does not depend on it.
ALTER TABLE keys ADD COLUMN status TEXT NOT NULL DEFAULT 'active';
UPDATE keys SET status = life;
UPDATE keys SET format = 'privatemind' WHERE format = 'pair';
-- The last of all where a key does not expire.
ALTER TABLE keys ADD COLUMN expires_order INTEGER
    GENERATED ALWAYS AS (ifnull(expires_ms, 9223372036854775807)) VIRTUAL;

-- Sums over the key's records, kept with each of them.
ALTER TABLE keys ADD COLUMN requests INTEGER NOT NULL DEFAULT 0;
ALTER TABLE keys ADD COLUMN input_tokens INTEGER NOT NULL DEFAULT 0;
ALTER TABLE keys ADD COLUMN output_tokens INTEGER NOT NULL DEFAULT 0;
ALTER TABLE keys ADD COLUMN spent INTEGER NOT NULL DEFAULT 0;
ALTER TABLE keys ADD COLUMN last_used_ms INTEGER NOT NULL DEFAULT 0;
ALTER TABLE keys ADD COLUMN last_address TEXT;
UPDATE keys SET (requests, input_tokens, output_tokens, spent, last_used_ms) = (
    SELECT count(*),
        ifnull(sum(call ->> '$.usage.input_tokens'), 0),
        ifnull(sum(call ->> '$.usage.output_tokens'), 0),
        ifnull(sum(cost), 0),
        ifnull(max(call ->> '$.started_unix_ms'), 0)
    FROM records WHERE records.key = keys.id)
WHERE EXISTS (SELECT 1 FROM records WHERE records.key = keys.id);

DROP INDEX keys_by_org;
CREATE INDEX keys_kept ON keys (position) WHERE status <> 'deleted';
CREATE INDEX keys_by_status ON keys (status, position);
CREATE INDEX keys_of_org ON keys (org, position) WHERE status <> 'deleted';
CREATE INDEX keys_of_org_by_status ON keys (org, status, position);
CREATE INDEX keys_of_team ON keys (team, org, position) WHERE team IS NOT NULL;
CREATE INDEX keys_of_user ON keys (user, org, position) WHERE user IS NOT NULL;
-- Names of teams and users are unique within their organisation only; these serve those who ask for a
-- name without one.
CREATE INDEX keys_of_teams ON keys (team, position) WHERE team IS NOT NULL;
CREATE INDEX keys_of_users ON keys (user, position) WHERE user IS NOT NULL;
CREATE INDEX keys_by_name ON keys (org, name COLLATE NOCASE, position) WHERE status <> 'deleted';
CREATE INDEX keys_by_expiry ON keys (org, expires_order, position) WHERE status <> 'deleted';
CREATE INDEX keys_by_last_use ON keys (org, last_used_ms, position) WHERE status <> 'deleted';
CREATE INDEX keys_by_spend ON keys (org, spent, position) WHERE status <> 'deleted';
-- Active keys that will expire, the next one first.
CREATE INDEX keys_expiring ON keys (expires_ms) WHERE status = 'active' AND expires_ms IS NOT NULL;

-- How many keys there are in each state, by organisation; '' is all of them together.
CREATE TABLE key_counts (
    org TEXT NOT NULL,
    status TEXT NOT NULL,
    count INTEGER NOT NULL CHECK (count >= 0),
    PRIMARY KEY (org, status)
) STRICT, WITHOUT ROWID;
INSERT INTO key_counts (org, status, count)
    SELECT org, status, count(*) FROM keys GROUP BY org, status;
INSERT INTO key_counts (org, status, count)
    SELECT '', status, count(*) FROM keys GROUP BY status;

CREATE TABLE key_tags (
    tag TEXT NOT NULL,
    org TEXT NOT NULL,
    position INTEGER NOT NULL,
    PRIMARY KEY (tag, org, position)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX key_tags_of_all ON key_tags (tag, position);

-- Every one, two, three and six characters that follow each other in what keys are searched by, as
-- 'g' and their bytes in hexadecimal; organisation, team, user and tags as 'o', 't', 'u', 'k' and
-- theirs. ASCII letters are in lower case, but not those of the latter.
CREATE VIRTUAL TABLE key_texts
    USING fts5 (grams, content = '', contentless_delete = 1, detail = none, tokenize = 'ascii');
INSERT INTO key_texts (rowid, grams)
    WITH RECURSIVE
    fields (position, text) AS (
        SELECT position, lower(id) FROM keys
        UNION ALL SELECT position, lower(name) FROM keys
        UNION ALL SELECT position, lower(prefix) FROM keys
        UNION ALL SELECT position, lower(org) FROM keys
        UNION ALL SELECT position, lower(team) FROM keys WHERE team IS NOT NULL
        UNION ALL SELECT position, lower(user) FROM keys WHERE user IS NOT NULL),
    sizes (size) AS (VALUES (1), (2), (3), (6)),
    pieces (position, text, size, at) AS (
        SELECT position, text, size, 1 FROM fields, sizes WHERE length(text) >= size
        UNION ALL
        SELECT position, text, size, at + 1 FROM pieces WHERE at + size <= length(text)),
    grams (position, gram) AS (
        SELECT DISTINCT position, 'g' || lower(hex(substr(text, at, size))) FROM pieces
        UNION ALL SELECT position, 'o' || lower(hex(org)) FROM keys
        UNION ALL SELECT position, 't' || lower(hex(team)) FROM keys WHERE team IS NOT NULL
        UNION ALL SELECT position, 'u' || lower(hex(user)) FROM keys WHERE user IS NOT NULL)
    SELECT position, group_concat(gram, ' ') FROM grams GROUP BY position;

-- The end of a secret that was replaced with a grace period. NULL: it has no end of its own.
ALTER TABLE key_digests ADD COLUMN valid_until_ms INTEGER;
CREATE INDEX key_digests_ending ON key_digests (valid_until_ms) WHERE valid_until_ms IS NOT NULL;

-- Keys that were made under an Idempotency-Key, by the digest of that; `request` is the digest of
-- what was asked.
CREATE TABLE key_creations (
    idempotency BLOB PRIMARY KEY,
    request BLOB NOT NULL,
    key TEXT NOT NULL,
    at_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX key_creations_by_time ON key_creations (at_ms);
