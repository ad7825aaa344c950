-- The first schema. Times are microseconds since 1970 in UTC. Words are checked, so that a wrong one cannot be stored.

-- A few values that belong to the file as a whole.
CREATE TABLE settings (
    name  TEXT NOT NULL PRIMARY KEY,
    value BLOB NOT NULL
);

-- One number per noun, moved by each transaction that changes it: what tells other processes to look again.
CREATE TABLE changes (
    noun   TEXT   NOT NULL PRIMARY KEY,
    number BIGINT NOT NULL
);
INSERT INTO changes (noun, number) VALUES ('contacts', 0), ('recommendations', 0), ('campaigns', 0);

-- Keys of the HTTP API. Only the hash of the secret is kept.
CREATE TABLE api_keys (
    key_id      TEXT   NOT NULL PRIMARY KEY,
    name        TEXT   NOT NULL,
    scopes      TEXT   NOT NULL,
    secret_hash BLOB   NOT NULL UNIQUE,
    created_at  BIGINT NOT NULL,
    revoked_at  BIGINT
);

-- The vault. `key_hash` is a keyed hash of the customer's own id, for look-up; `sealed` holds that id and the address under
-- a data key of the contact's own, and `wrapped_key` is that data key under the master key. `has_email` tells whether there is
-- an address without opening anything.
CREATE TABLE contacts (
    contact_key BIGINT NOT NULL PRIMARY KEY,
    key_hash    BLOB   NOT NULL UNIQUE,
    wrapped_key BLOB   NOT NULL,
    sealed      BLOB   NOT NULL,
    has_email   BOOLEAN NOT NULL,
    country     TEXT,
    language    TEXT,
    time_zone   TEXT,
    attributes  TEXT   NOT NULL,
    change_seq  BIGINT NOT NULL,
    created_at  BIGINT NOT NULL,
    updated_at  BIGINT NOT NULL
);

-- Whom no campaign may reach. It does not refer to `contacts`, because a suppression may be known before the contact.
CREATE TABLE suppressions (
    contact_key   BIGINT NOT NULL PRIMARY KEY,
    reason        TEXT   NOT NULL,
    suppressed_at BIGINT NOT NULL
);

CREATE TABLE experiments (
    experiment_id TEXT   NOT NULL PRIMARY KEY,
    definition    TEXT   NOT NULL,
    created_at    BIGINT NOT NULL,
    updated_at    BIGINT NOT NULL
);

CREATE TABLE readouts (
    readout_seq   INTEGER PRIMARY KEY,
    readout_id    TEXT   NOT NULL UNIQUE,
    experiment_id TEXT   NOT NULL REFERENCES experiments (experiment_id),
    body          TEXT   NOT NULL,
    stored_at     BIGINT NOT NULL
);
CREATE INDEX readouts_by_experiment ON readouts (experiment_id, readout_seq);

-- Recommendations are never changed. What is current is one row per experiment that points to one of them.
CREATE TABLE recommendations (
    recommendation_seq INTEGER PRIMARY KEY,
    recommendation_id  TEXT   NOT NULL UNIQUE,
    experiment_id      TEXT   NOT NULL REFERENCES experiments (experiment_id),
    variant            TEXT   NOT NULL,
    parent             TEXT   REFERENCES recommendations (recommendation_id),
    reason             TEXT   NOT NULL,
    readout_id         TEXT,
    created_at         BIGINT NOT NULL
);
CREATE INDEX recommendations_by_experiment ON recommendations (experiment_id, recommendation_seq);

CREATE TRIGGER recommendations_stay BEFORE UPDATE ON recommendations
BEGIN
    SELECT RAISE (ABORT, 'a recommendation is never changed');
END;

CREATE TABLE current_recommendations (
    experiment_id     TEXT   NOT NULL PRIMARY KEY REFERENCES experiments (experiment_id),
    recommendation_id TEXT   NOT NULL REFERENCES recommendations (recommendation_id),
    change            BIGINT NOT NULL
);

-- The five counts are moved by the transactions that change the ledger, so that progress never counts rows. `epoch` grows
-- with each change of state: a worker that leased a slice in an earlier epoch may have been turned away in between.
CREATE TABLE campaigns (
    campaign_id    TEXT   NOT NULL PRIMARY KEY,
    experiment_id  TEXT   NOT NULL REFERENCES experiments (experiment_id),
    definition     TEXT   NOT NULL,
    state          TEXT   NOT NULL CHECK (state IN ('draft', 'planning', 'sending', 'paused', 'done', 'failed')),
    epoch          BIGINT NOT NULL DEFAULT 0,
    plan_version   BIGINT NOT NULL DEFAULT 0,
    planned        BIGINT NOT NULL DEFAULT 0,
    claimed_count  BIGINT NOT NULL DEFAULT 0 CHECK (claimed_count >= 0),
    accepted_count BIGINT NOT NULL DEFAULT 0 CHECK (accepted_count >= 0),
    refused_count  BIGINT NOT NULL DEFAULT 0 CHECK (refused_count >= 0),
    in_doubt_count BIGINT NOT NULL DEFAULT 0 CHECK (in_doubt_count >= 0),
    skipped_count  BIGINT NOT NULL DEFAULT 0 CHECK (skipped_count >= 0),
    error          TEXT,
    created_at     BIGINT NOT NULL,
    updated_at     BIGINT NOT NULL
);
CREATE INDEX campaigns_by_experiment ON campaigns (experiment_id);

CREATE TABLE plans (
    campaign_id  TEXT   NOT NULL REFERENCES campaigns (campaign_id),
    plan_version BIGINT NOT NULL,
    plan_file    TEXT   NOT NULL,
    row_count    BIGINT NOT NULL,
    -- The variant whose hour was planned for, where the campaign follows the recommendation.
    planned_for  TEXT,
    created_at   BIGINT NOT NULL,
    PRIMARY KEY (campaign_id, plan_version)
);

-- AUTOINCREMENT, because a lease names its slice by this number: the number of a slice that vanished must not come again.
CREATE TABLE slices (
    slice_id     INTEGER PRIMARY KEY AUTOINCREMENT,
    campaign_id  TEXT   NOT NULL,
    plan_version BIGINT NOT NULL,
    first_row    BIGINT NOT NULL,
    row_count    BIGINT NOT NULL,
    due          BIGINT NOT NULL,
    worker       TEXT,
    lease_until  BIGINT,
    fence        BIGINT NOT NULL DEFAULT 0,
    finished_at  BIGINT,
    FOREIGN KEY (campaign_id, plan_version) REFERENCES plans (campaign_id, plan_version)
);
CREATE INDEX slices_by_plan ON slices (campaign_id, plan_version, due);
CREATE INDEX slices_open ON slices (due) WHERE finished_at IS NULL;
CREATE INDEX slices_open_by_campaign ON slices (campaign_id) WHERE finished_at IS NULL;

-- One row for each message that a worker set out to hand over. The primary key is what makes it at most one per campaign
-- and contact.
CREATE TABLE ledger (
    campaign_id       TEXT   NOT NULL REFERENCES campaigns (campaign_id),
    contact_key       BIGINT NOT NULL,
    message_id        TEXT   NOT NULL UNIQUE,
    experiment_id     TEXT   NOT NULL,
    variant           TEXT,
    market            TEXT,
    recommendation_id TEXT,
    state             TEXT   NOT NULL CHECK (state IN ('claimed', 'accepted', 'refused', 'in_doubt', 'skipped')),
    worker            TEXT   NOT NULL,
    claimed_at        BIGINT NOT NULL,
    settled_at        BIGINT,
    reply             TEXT,
    PRIMARY KEY (campaign_id, contact_key)
);
CREATE INDEX ledger_open ON ledger (worker, claimed_at) WHERE state = 'claimed';

-- Experiments that had their verdict: they are not asked again, because a fixed-sample test may be asked only once.
CREATE TABLE verdicts (
    experiment_id TEXT   NOT NULL PRIMARY KEY REFERENCES experiments (experiment_id),
    readout_id    TEXT   NOT NULL,
    decided_at    BIGINT NOT NULL
);
