-- Leases that ended are forgotten with the request log. The highest number of a holder's that was: one below it
-- that is not there ended long ago, and one above it was never granted. -1: none was.
ALTER TABLE holders ADD COLUMN forgotten_n INTEGER NOT NULL DEFAULT -1;
CREATE INDEX leases_ended ON leases (granted_ms) WHERE standing = 'closed';
