-- By how much the prices of an organisation's plan are above or below the catalogue's, in
-- millionths, and every such factor that it ever had: calls report the one that they were made under.
ALTER TABLE orgs ADD COLUMN price_multiplier INTEGER NOT NULL DEFAULT 1000000
    CHECK (price_multiplier > 0);
CREATE TABLE org_price_multipliers (
    org TEXT NOT NULL,
    ppm INTEGER NOT NULL,
    PRIMARY KEY (org, ppm)
) STRICT, WITHOUT ROWID;
INSERT INTO org_price_multipliers (org, ppm) SELECT id, 1000000 FROM orgs;
