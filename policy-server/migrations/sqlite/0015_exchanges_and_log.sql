-- With which secret of its key a user key was exchanged, so that it ends with that one. Nothing for
-- those that were made before: they end with any rotation.
ALTER TABLE user_keys ADD COLUMN exchanged_with BLOB;

-- An organisation looks for its failed calls, or for those of one model, among all that it ever made.
CREATE INDEX records_of_org_status ON records (org, status, started_ms);
CREATE INDEX records_of_org_model ON records (org, model, started_ms);
