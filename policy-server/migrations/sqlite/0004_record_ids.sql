-- A call is recorded once, by whatever holder: after a restore a filter registers anew and sends
-- again what it has no answer to, and some of that may be in the backup.
--
-- Where a call was recorded twice before this step it was also charged twice, so both rows stay.
-- The later one is no longer found by the call's id: a space is in none. Its column `call` is unchanged.
UPDATE records SET request = request || ' ' || position
    WHERE position > (
        SELECT min(earlier.position) FROM records AS earlier
        WHERE earlier.request = records.request);
DROP INDEX records_by_request;
CREATE UNIQUE INDEX records_by_request ON records (request);
