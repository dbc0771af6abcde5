-- With which secret of its key a user key was exchanged, so that it ends with that one. Nothing for
-- those that were made before: they end with any rotation.
ALTER TABLE user_keys ADD COLUMN exchanged_with BLOB;
