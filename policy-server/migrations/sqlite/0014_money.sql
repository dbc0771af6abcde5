-- Own beginnings of periods need no column: a budget's `period`, by which its accounts are told
-- apart, may name an anchor and a time zone, as in 'month@15 Europe/Berlin'.

-- Percentages of the cap at which somebody is told, as JSON.
ALTER TABLE budgets ADD COLUMN alerts TEXT NOT NULL DEFAULT '[]';
-- The highest of them that was told of an account.
CREATE TABLE account_alerts (
    level TEXT NOT NULL,
    owner TEXT NOT NULL,
    period TEXT NOT NULL,
    start_ms INTEGER NOT NULL,
    told INTEGER NOT NULL,
    PRIMARY KEY (level, owner, period, start_ms)
) STRICT, WITHOUT ROWID;

-- Rate limits that all keys of an organisation or a user share, as JSON.
ALTER TABLE orgs ADD COLUMN limits TEXT NOT NULL DEFAULT '[]';
ALTER TABLE users ADD COLUMN limits TEXT NOT NULL DEFAULT '[]';

-- Whom to tell. No secret is stored: it is derived from the server's own, by `generation`.
CREATE TABLE webhooks (
    org TEXT NOT NULL,
    id TEXT NOT NULL,
    url TEXT NOT NULL,
    events TEXT NOT NULL,
    enabled INTEGER NOT NULL CHECK (enabled IN (0, 1)),
    generation INTEGER NOT NULL,
    created_ms INTEGER NOT NULL,
    updated_ms INTEGER NOT NULL,
    PRIMARY KEY (org, id)
) STRICT, WITHOUT ROWID;

-- What is to be told, or was.
CREATE TABLE webhook_deliveries (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    org TEXT NOT NULL,
    webhook TEXT NOT NULL,
    event TEXT NOT NULL,
    body TEXT NOT NULL,
    status TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    created_ms INTEGER NOT NULL,
    begun_ms INTEGER NOT NULL,
    due_ms INTEGER NOT NULL,
    ended_ms INTEGER,
    last_status INTEGER,
    last_error TEXT
) STRICT;
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (due_ms) WHERE status = 'pending';
CREATE INDEX webhook_deliveries_pending ON webhook_deliveries (org) WHERE status = 'pending';
CREATE INDEX webhook_deliveries_of_org ON webhook_deliveries (org, position);

-- What was spent of a wallet and stands in no entry yet, by day since 1970 UTC; a day that is over
-- becomes an entry. Day 0: what was spent before there were such entries.
CREATE TABLE wallet_usage (
    org TEXT NOT NULL,
    day INTEGER NOT NULL,
    amount INTEGER NOT NULL CHECK (amount > 0),
    PRIMARY KEY (org, day)
) STRICT, WITHOUT ROWID;
CREATE INDEX wallet_usage_by_day ON wallet_usage (day);
INSERT INTO wallet_usage (org, day, amount)
    SELECT owner, 0, settled FROM accounts WHERE level = 'wallet' AND period = 'none' AND settled > 0;
