-- Teams, users with their roles and tokens, suspension, and an audit of every change.

ALTER TABLE orgs ADD COLUMN suspended_ms INTEGER;

-- `self_service` and `limits` are JSON.
CREATE TABLE teams (
    org TEXT NOT NULL,
    id TEXT NOT NULL,
    name TEXT NOT NULL,
    limits TEXT NOT NULL,
    self_service TEXT NOT NULL,
    suspended_ms INTEGER,
    created_ms INTEGER NOT NULL,
    updated_ms INTEGER NOT NULL,
    PRIMARY KEY (org, id)
) STRICT, WITHOUT ROWID;

-- People, and service accounts: owners of keys that belong to a team and never sign in.
CREATE TABLE users (
    org TEXT NOT NULL,
    id TEXT NOT NULL,
    name TEXT NOT NULL,
    role TEXT NOT NULL,
    service_team TEXT,
    suspended_ms INTEGER,
    created_ms INTEGER NOT NULL,
    updated_ms INTEGER NOT NULL,
    PRIMARY KEY (org, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX users_of_service ON users (org, service_team, id) WHERE service_team IS NOT NULL;

CREATE TABLE memberships (
    org TEXT NOT NULL,
    team TEXT NOT NULL,
    user TEXT NOT NULL,
    role TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    PRIMARY KEY (org, team, user)
) STRICT, WITHOUT ROWID;
CREATE INDEX memberships_of_users ON memberships (org, user, team);

CREATE TABLE personal_tokens (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    digest BLOB NOT NULL UNIQUE,
    org TEXT NOT NULL,
    user TEXT NOT NULL,
    name TEXT NOT NULL,
    prefix TEXT NOT NULL,
    issued_by TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    expires_ms INTEGER NOT NULL,
    revoked_ms INTEGER,
    last_used_ms INTEGER,
    last_address TEXT
) STRICT;
CREATE INDEX personal_tokens_of_users ON personal_tokens (org, user, position);

-- Teams and users came into being by being named; now they are rows.
INSERT INTO teams (org, id, name, limits, self_service, created_ms, updated_ms)
    SELECT org, team, team, '[]', '{"enabled":true}', min(created_ms), min(created_ms)
    FROM keys WHERE team IS NOT NULL AND life <> 'deleted' AND org IN (SELECT id FROM orgs)
    GROUP BY org, team;
INSERT INTO users (org, id, name, role, created_ms, updated_ms)
    SELECT org, user, user, 'org_member', min(created_ms), min(created_ms)
    FROM keys WHERE user IS NOT NULL AND life <> 'deleted' AND org IN (SELECT id FROM orgs)
    GROUP BY org, user;
INSERT OR IGNORE INTO teams (org, id, name, limits, self_service, created_ms, updated_ms)
    SELECT org, id, id, '[]', '{"enabled":true}', unixepoch() * 1000, unixepoch() * 1000
    FROM (SELECT substr(owner, 1, instr(owner, '/') - 1) AS org,
                 substr(owner, instr(owner, '/') + 1) AS id FROM budgets WHERE level = 'team')
    WHERE org IN (SELECT id FROM orgs);
INSERT OR IGNORE INTO users (org, id, name, role, created_ms, updated_ms)
    SELECT org, id, id, 'org_member', unixepoch() * 1000, unixepoch() * 1000
    FROM (SELECT substr(owner, 1, instr(owner, '/') - 1) AS org,
                 substr(owner, instr(owner, '/') + 1) AS id FROM budgets WHERE level = 'user')
    WHERE org IN (SELECT id FROM orgs);

-- `kind` and `org` of the target; `before` and `after` are JSON objects of what changed; `outcome`:
-- done, refused (not permitted) or failed, then with the error's code.
ALTER TABLE audit ADD COLUMN kind TEXT NOT NULL DEFAULT '';
ALTER TABLE audit ADD COLUMN org TEXT;
ALTER TABLE audit ADD COLUMN before TEXT;
ALTER TABLE audit ADD COLUMN after TEXT;
ALTER TABLE audit ADD COLUMN address TEXT;
ALTER TABLE audit ADD COLUMN outcome TEXT NOT NULL DEFAULT 'done';
ALTER TABLE audit ADD COLUMN code TEXT;
CREATE INDEX audit_by_org ON audit (org, position);
CREATE INDEX audit_by_target ON audit (target, position);
CREATE INDEX audit_by_actor ON audit (actor, position);
CREATE INDEX audit_by_time ON audit (at_ms);

-- What administrators set of the server itself; a name without a row has its default.
CREATE TABLE settings (
    name TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
