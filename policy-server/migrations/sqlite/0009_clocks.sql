-- Nothing of the ledger goes by the wall clock, which may be set, but periods and expiry.

-- Parked money is released by how long the server has run. `ran_ms`: in all its lives together, as
-- noted last. What is parked already counts from now.
ALTER TABLE server_life ADD COLUMN ran_ms INTEGER NOT NULL DEFAULT 0;
ALTER TABLE lease_accounts RENAME COLUMN release_at_ms TO release_at_ran_ms;
UPDATE lease_accounts SET release_at_ran_ms = 86400000 WHERE release_at_ran_ms IS NOT NULL;

-- The epoch in which a holder registered first; 0: one before the present.
ALTER TABLE holders ADD COLUMN epoch INTEGER NOT NULL DEFAULT 0;
UPDATE holders SET epoch = (SELECT epoch FROM server)
    WHERE registered_ms >= (SELECT epoch FROM server);
