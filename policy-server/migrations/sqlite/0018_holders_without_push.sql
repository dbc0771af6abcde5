-- Holders to which nothing can be told have shorter sessions, and some have windows counted here for want of a memory
-- of their own. What a session was promised holds over restarts; 0 is one from before that was noted.
ALTER TABLE holders ADD COLUMN ttl_ms INTEGER NOT NULL DEFAULT 0;
ALTER TABLE holders ADD COLUMN without_push INTEGER NOT NULL DEFAULT 0;
ALTER TABLE holders ADD COLUMN count_windows_below INTEGER NOT NULL DEFAULT 0;
