-- Owners whose keys are being ended because they left or were removed: from the commit on such keys are
-- revoked where they are looked up; the rows of the keys follow, some at a time. `team`: only keys there.
-- `author`, `address` and `token` are who removed them, for the audit.
CREATE TABLE removals (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    org TEXT NOT NULL,
    user TEXT NOT NULL,
    team TEXT,
    author TEXT NOT NULL,
    address TEXT,
    token TEXT
) STRICT;
CREATE INDEX removals_of_users ON removals (org, user);

-- Keys of a user that have not ended, so that they are found and counted without those that have.
CREATE INDEX keys_alive_of_user ON keys (user, org, team, position)
    WHERE user IS NOT NULL AND life IN ('active', 'disabled');

-- The personal token that was signed in with.
ALTER TABLE audit ADD COLUMN token TEXT;

-- Tokens by who issued them, as far as they were not revoked.
CREATE INDEX personal_tokens_by_issuer ON personal_tokens (issued_by) WHERE revoked_ms IS NULL;
