-- Money is nano-USD, prices are pico-USD per token, times are milliseconds since 1970 UTC.
-- SQL only remembers: sums and comparisons of money are computed by the server.

CREATE TABLE server (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    epoch INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    catalogue_version INTEGER NOT NULL
) STRICT;

CREATE TABLE admin_tokens (
    digest BLOB PRIMARY KEY,
    made_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE orgs (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    models TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    updated_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- No foreign key to orgs: a deleted key keeps the name of an organisation that is gone.
CREATE TABLE keys (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    org TEXT NOT NULL,
    team TEXT,
    name TEXT NOT NULL,
    prefix TEXT NOT NULL,
    format TEXT NOT NULL,
    life TEXT NOT NULL,
    expires_ms INTEGER,
    models TEXT,
    limits TEXT NOT NULL,
    default_max_output_tokens INTEGER,
    cut_calls TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    updated_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX keys_by_org ON keys (org, position);

CREATE TABLE key_digests (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    digest BLOB NOT NULL UNIQUE,
    key TEXT NOT NULL REFERENCES keys (id),
    valid INTEGER NOT NULL CHECK (valid IN (0, 1))
) STRICT;
CREATE INDEX key_digests_by_key ON key_digests (key, position);

CREATE TABLE models (
    name TEXT PRIMARY KEY,
    model TEXT NOT NULL,
    updated_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- One row per model and catalogue version in which it changed; NULL prices: it had none.
CREATE TABLE model_prices (
    model TEXT NOT NULL REFERENCES models (name),
    version INTEGER NOT NULL,
    input INTEGER,
    output INTEGER,
    cached_input INTEGER,
    PRIMARY KEY (model, version)
) STRICT, WITHOUT ROWID;

CREATE TABLE budgets (
    level TEXT NOT NULL,
    owner TEXT NOT NULL,
    cap INTEGER,
    period TEXT NOT NULL,
    PRIMARY KEY (level, owner)
) STRICT, WITHOUT ROWID;

CREATE TABLE accounts (
    level TEXT NOT NULL,
    owner TEXT NOT NULL,
    period TEXT NOT NULL,
    start_ms INTEGER NOT NULL,
    settled INTEGER NOT NULL CHECK (settled >= 0),
    parked INTEGER NOT NULL CHECK (parked >= 0),
    outstanding INTEGER NOT NULL CHECK (outstanding >= 0),
    overdraft INTEGER NOT NULL CHECK (overdraft >= 0),
    PRIMARY KEY (level, owner, period, start_ms)
) STRICT, WITHOUT ROWID;

CREATE TABLE holders (
    id TEXT PRIMARY KEY,
    nonce BLOB NOT NULL UNIQUE,
    plugin TEXT NOT NULL,
    state TEXT NOT NULL,
    registered_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX holders_alive ON holders (id) WHERE state = 'live';

CREATE TABLE leases (
    holder TEXT NOT NULL REFERENCES holders (id),
    n INTEGER NOT NULL,
    key TEXT,
    granted INTEGER NOT NULL,
    held INTEGER NOT NULL CHECK (held >= 0),
    spent INTEGER NOT NULL CHECK (spent >= 0),
    standing TEXT NOT NULL,
    output_tokens INTEGER NOT NULL,
    voided INTEGER NOT NULL CHECK (voided IN (0, 1)),
    granted_ms INTEGER NOT NULL,
    PRIMARY KEY (holder, n)
) STRICT, WITHOUT ROWID;
CREATE INDEX leases_open ON leases (holder, n) WHERE standing = 'open';

CREATE TABLE lease_accounts (
    holder TEXT NOT NULL,
    n INTEGER NOT NULL,
    level TEXT NOT NULL,
    owner TEXT NOT NULL,
    period TEXT NOT NULL,
    start_ms INTEGER NOT NULL,
    PRIMARY KEY (holder, n, level, owner),
    FOREIGN KEY (holder, n) REFERENCES leases (holder, n)
) STRICT, WITHOUT ROWID;

CREATE TABLE records (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    holder TEXT NOT NULL REFERENCES holders (id),
    sequence INTEGER NOT NULL,
    request TEXT NOT NULL,
    key TEXT NOT NULL,
    org TEXT,
    model TEXT NOT NULL,
    cost INTEGER NOT NULL,
    recomputed INTEGER,
    call TEXT NOT NULL,
    recorded_ms INTEGER NOT NULL,
    UNIQUE (holder, sequence)
) STRICT;
CREATE INDEX records_by_key ON records (key, position);
CREATE INDEX records_by_org ON records (org, position);
CREATE INDEX records_by_request ON records (request);
