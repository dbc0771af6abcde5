-- The request log by everything that it is searched by, and sums of use by day.

ALTER TABLE records ADD COLUMN team TEXT;
ALTER TABLE records ADD COLUMN user TEXT;
ALTER TABLE records ADD COLUMN status INTEGER NOT NULL DEFAULT 0;
ALTER TABLE records ADD COLUMN started_ms INTEGER NOT NULL DEFAULT 0;
-- Where older calls belonged is no longer known: they count for where their keys are now.
UPDATE records SET
    team = (SELECT team FROM keys WHERE keys.id = records.key),
    user = (SELECT user FROM keys WHERE keys.id = records.key),
    status = ifnull(CAST(call ->> '$.status' AS INTEGER), 0),
    started_ms = ifnull(CAST(call ->> '$.started_unix_ms' AS INTEGER), 0);

-- Lists are ordered by the time at which calls began, the position telling those of one
-- millisecond apart: every index ends with it.
DROP INDEX records_by_key;
DROP INDEX records_by_org;
CREATE INDEX records_by_time ON records (started_ms);
CREATE INDEX records_of_key ON records (key, started_ms);
CREATE INDEX records_of_org ON records (org, started_ms);
CREATE INDEX records_of_team ON records (org, team, started_ms) WHERE team IS NOT NULL;
CREATE INDEX records_of_user ON records (org, user, started_ms) WHERE user IS NOT NULL;
CREATE INDEX records_of_model ON records (model, started_ms);
CREATE INDEX records_of_status ON records (status, started_ms);

-- Sums over the records of a day (days since 1970 UTC), kept with each record and not removed with
-- it. An empty text: none, or not known.
CREATE TABLE usage_by_day (
    day INTEGER NOT NULL,
    key TEXT NOT NULL,
    model TEXT NOT NULL,
    org TEXT NOT NULL,
    team TEXT NOT NULL,
    user TEXT NOT NULL,
    requests INTEGER NOT NULL CHECK (requests >= 0),
    input_tokens INTEGER NOT NULL CHECK (input_tokens >= 0),
    cached_input_tokens INTEGER NOT NULL CHECK (cached_input_tokens >= 0),
    output_tokens INTEGER NOT NULL CHECK (output_tokens >= 0),
    cost INTEGER NOT NULL CHECK (cost >= 0),
    PRIMARY KEY (day, key, model, org, team, user)
) STRICT, WITHOUT ROWID;
CREATE INDEX usage_of_key ON usage_by_day (key, day);
CREATE INDEX usage_of_model ON usage_by_day (model, day);
CREATE INDEX usage_of_org ON usage_by_day (org, day);
CREATE INDEX usage_of_team ON usage_by_day (org, team, day);
CREATE INDEX usage_of_user ON usage_by_day (org, user, day);
INSERT INTO usage_by_day
    SELECT started_ms / 86400000, key, model, ifnull(org, ''), ifnull(team, ''), ifnull(user, ''),
        count(*),
        sum(ifnull(CAST(call ->> '$.usage.input_tokens' AS INTEGER), 0)),
        sum(ifnull(CAST(call ->> '$.usage.cached_input_tokens' AS INTEGER), 0)),
        sum(ifnull(CAST(call ->> '$.usage.output_tokens' AS INTEGER), 0)),
        sum(cost)
    FROM records GROUP BY 1, 2, 3, 4, 5, 6;
