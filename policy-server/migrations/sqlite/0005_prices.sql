-- The whole price as JSON: every kind of token, tiers, calls and tools. NULL: the row is older and
-- has its price in `input`, `output` and `cached_input`, or the model had no price. Newer rows
-- leave those columns empty, so that a price stands in one place only.
ALTER TABLE model_prices ADD COLUMN price TEXT;
