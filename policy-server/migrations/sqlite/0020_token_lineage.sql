-- The personal token by which a token was issued: whoever kept one that he issued for somebody else can issue
-- others by it in that one's name, and they are to end with it. NULL: by the admin token, or before this was noted.
ALTER TABLE personal_tokens ADD COLUMN issued_with TEXT;
CREATE INDEX personal_tokens_issued_with ON personal_tokens (issued_with) WHERE issued_with IS NOT NULL;

-- Ended ones count too: what was issued by them may go on.
DROP INDEX personal_tokens_by_issuer;
CREATE INDEX personal_tokens_by_issuer ON personal_tokens (issued_by);
