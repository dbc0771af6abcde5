-- Plans, access groups, and what teams and users are restricted to.

-- `models` as in orgs.models, where a choice may also name groups. `price_multiplier` in millionths;
-- NULL: calls keep the multiplier of their organisation.
CREATE TABLE plans (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    models TEXT NOT NULL,
    price_multiplier INTEGER CHECK (price_multiplier > 0),
    created_ms INTEGER NOT NULL,
    updated_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Every multiplier that a plan ever had, and every plan that an organisation or a key ever had:
-- calls report the multiplier that they were made under.
CREATE TABLE plan_price_multipliers (
    plan TEXT NOT NULL,
    ppm INTEGER NOT NULL,
    PRIMARY KEY (plan, ppm)
) STRICT, WITHOUT ROWID;
CREATE TABLE plan_assignments (
    level TEXT NOT NULL CHECK (level IN ('org', 'key')),
    owner TEXT NOT NULL,
    plan TEXT NOT NULL,
    current INTEGER NOT NULL CHECK (current IN (0, 1)),
    PRIMARY KEY (level, owner, plan)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX plan_assignments_current ON plan_assignments (level, owner) WHERE current = 1;
CREATE INDEX plan_assignments_in_use ON plan_assignments (plan) WHERE current = 1;

-- A group may be granted before it stands here, and before it has models.
CREATE TABLE access_groups (
    name TEXT PRIMARY KEY,
    description TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    updated_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE access_group_models (
    name TEXT NOT NULL REFERENCES access_groups (name),
    model TEXT NOT NULL REFERENCES models (name),
    PRIMARY KEY (name, model)
) STRICT, WITHOUT ROWID;
CREATE INDEX access_group_models_by_model ON access_group_models (model, name);

-- What teams and users are restricted to. No row: they inherit.
CREATE TABLE member_models (
    level TEXT NOT NULL CHECK (level IN ('team', 'user')),
    owner TEXT NOT NULL,
    models TEXT NOT NULL,
    updated_ms INTEGER NOT NULL,
    PRIMARY KEY (level, owner)
) STRICT, WITHOUT ROWID;
