-- By what the server's secret, from which a webhook's is derived, is known again. It is a digest, by which nobody
-- can sign. NULL: given its secret before this was noted.
ALTER TABLE webhooks ADD COLUMN secret_mark TEXT;
