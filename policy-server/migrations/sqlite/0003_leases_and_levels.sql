-- What a repeated request for a lease must answer again.
ALTER TABLE leases ADD COLUMN scarce INTEGER NOT NULL DEFAULT 0 CHECK (scarce IN (0, 1));
