-- Journal, restore, frozen budgets, and parked money that is released in time.

-- How far the journal reaches into this database. No row: it is not journaled. `chain` is the
-- digest over everything since the journal began, so a journal of another history never fits.
CREATE TABLE journal_position (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    sequence INTEGER NOT NULL,
    chain BLOB NOT NULL
) STRICT;

-- Set by a restore without journal: nothing is granted until an operator releases it.
ALTER TABLE budgets ADD COLUMN frozen INTEGER NOT NULL DEFAULT 0 CHECK (frozen IN (0, 1));
CREATE INDEX budgets_frozen ON budgets (level, owner) WHERE frozen = 1;

-- A released share no longer stands in its account's `parked`. `release_at_ms`: when that happens
-- by itself to the share of a parked lease; only in accounts without a period.
ALTER TABLE lease_accounts ADD COLUMN released INTEGER NOT NULL DEFAULT 0
    CHECK (released IN (0, 1));
ALTER TABLE lease_accounts ADD COLUMN release_at_ms INTEGER;
CREATE INDEX lease_accounts_release ON lease_accounts (release_at_ms)
    WHERE release_at_ms IS NOT NULL;
CREATE INDEX leases_parked ON leases (key) WHERE standing = 'parked';

-- It is not known when the leases that are parked already were: they count from now.
UPDATE lease_accounts SET release_at_ms = (unixepoch() + 86400) * 1000
    WHERE period = 'none' AND EXISTS (
        SELECT 1 FROM leases
        WHERE leases.holder = lease_accounts.holder AND leases.n = lease_accounts.n
            AND leases.standing = 'parked');

-- What was done to money by hand or by time. `amount` is NULL where none moved.
CREATE TABLE audit (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    at_ms INTEGER NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    target TEXT NOT NULL,
    amount INTEGER
) STRICT;
