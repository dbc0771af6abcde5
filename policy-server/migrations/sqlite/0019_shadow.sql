-- Keys in shadow mode, whose calls are checked and recorded and none is refused, and why a call of theirs would
-- have been.
ALTER TABLE keys ADD COLUMN shadow INTEGER NOT NULL DEFAULT 0;
ALTER TABLE records ADD COLUMN would_refuse TEXT;
-- Few calls have one: an index of those alone costs the others nothing.
CREATE INDEX records_would_refuse ON records (started_ms) WHERE would_refuse IS NOT NULL;
CREATE INDEX records_of_org_would_refuse ON records (org, started_ms) WHERE would_refuse IS NOT NULL;
ALTER TABLE usage_by_day ADD COLUMN would_refuse INTEGER NOT NULL DEFAULT 0 CHECK (would_refuse >= 0);
