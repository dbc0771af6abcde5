-- What a repeated request for a lease must answer again.
ALTER TABLE leases ADD COLUMN scarce INTEGER NOT NULL DEFAULT 0 CHECK (scarce IN (0, 1));

-- The user who owns a key. A moved key, and a budget that began another account, grant once every
-- holder has applied the revision by which their older leases were recalled.
ALTER TABLE keys ADD COLUMN user TEXT;
ALTER TABLE keys ADD COLUMN moved_revision INTEGER NOT NULL DEFAULT 0;
ALTER TABLE budgets ADD COLUMN began_revision INTEGER NOT NULL DEFAULT 0;

-- Prepaid money of organisations: each entry moves an amount from one account to another. Entries
-- are only ever added; a correction is another entry.
CREATE TABLE wallet_entries (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    org TEXT NOT NULL,
    id TEXT NOT NULL,
    debit TEXT NOT NULL,
    credit TEXT NOT NULL,
    amount INTEGER NOT NULL CHECK (amount > 0),
    note TEXT NOT NULL,
    at_ms INTEGER NOT NULL,
    UNIQUE (org, id)
) STRICT;
CREATE INDEX wallet_entries_by_org ON wallet_entries (org, position);
CREATE TRIGGER wallet_entries_are_not_changed BEFORE UPDATE ON wallet_entries
BEGIN SELECT RAISE(ABORT, 'entries of a wallet are never changed'); END;
CREATE TRIGGER wallet_entries_are_not_removed BEFORE DELETE ON wallet_entries
BEGIN SELECT RAISE(ABORT, 'entries of a wallet are never removed'); END;

-- Permits of windows over all proxies. Their times are those of the server's monotonic clock, which
-- starts over with every start of the server: a life. Times of another life mean nothing in this.
CREATE TABLE server_life (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    life INTEGER NOT NULL
) STRICT;
CREATE TABLE cluster_windows (
    level TEXT NOT NULL,
    owner TEXT NOT NULL,
    length TEXT NOT NULL,
    life INTEGER NOT NULL,
    permits BLOB NOT NULL,
    PRIMARY KEY (level, owner, length)
) STRICT, WITHOUT ROWID;
ALTER TABLE leases ADD COLUMN permits INTEGER NOT NULL DEFAULT 0;
ALTER TABLE leases ADD COLUMN permits_used INTEGER NOT NULL DEFAULT 0;
ALTER TABLE leases ADD COLUMN permits_closed INTEGER NOT NULL DEFAULT 1
    CHECK (permits_closed IN (0, 1));
ALTER TABLE leases ADD COLUMN windows TEXT NOT NULL DEFAULT '[]';
ALTER TABLE leases ADD COLUMN granted_life INTEGER NOT NULL DEFAULT 0;
ALTER TABLE leases ADD COLUMN granted_monotonic_ms INTEGER NOT NULL DEFAULT 0;
