-- Recommendations speak for a scope; an empty part is not looked at. `weights` is a JSON object of variants and their shares, NULL in
-- those made before, which have one variant. Until `valid_until` they hold, where it is not NULL.
ALTER TABLE recommendations ADD COLUMN market TEXT NOT NULL DEFAULT '';
ALTER TABLE recommendations ADD COLUMN locale TEXT NOT NULL DEFAULT '';
ALTER TABLE recommendations ADD COLUMN segment TEXT NOT NULL DEFAULT '';
ALTER TABLE recommendations ADD COLUMN weights TEXT;
ALTER TABLE recommendations ADD COLUMN valid_until BIGINT;

-- One current recommendation for each scope of an experiment.
CREATE TABLE current_of_scopes (
    experiment_id     TEXT   NOT NULL REFERENCES experiments (experiment_id),
    market            TEXT   NOT NULL,
    locale            TEXT   NOT NULL,
    segment           TEXT   NOT NULL,
    recommendation_id TEXT   NOT NULL REFERENCES recommendations (recommendation_id),
    change            BIGINT NOT NULL,
    PRIMARY KEY (experiment_id, market, locale, segment)
) WITHOUT ROWID;
INSERT INTO current_of_scopes (experiment_id, market, locale, segment, recommendation_id, change)
    SELECT experiment_id, '', '', '', recommendation_id, change FROM current_recommendations;
DROP TABLE current_recommendations;
ALTER TABLE current_of_scopes RENAME TO current_recommendations;
CREATE INDEX current_recommendations_changed ON current_recommendations (change);

-- The change number of recommendations with which an experiment was stored last: what senders go by depends on both.
ALTER TABLE experiments ADD COLUMN change BIGINT NOT NULL DEFAULT 0;
CREATE INDEX experiments_changed ON experiments (change);

-- How many messages carried the control because no recommendation held.
ALTER TABLE campaigns ADD COLUMN fallback_count BIGINT NOT NULL DEFAULT 0;

-- Addresses of customers that are told of changes. What waits for an address is every recommendation behind `told`: the queue is as durable
-- as they are.
CREATE TABLE webhooks (
    webhook       TEXT   NOT NULL PRIMARY KEY,
    url           TEXT   NOT NULL,
    secret        BLOB   NOT NULL,
    told          BIGINT NOT NULL,
    tries         BIGINT NOT NULL DEFAULT 0,
    next_try_at   BIGINT,
    failing_since BIGINT,
    last_error    TEXT,
    told_at       BIGINT,
    disabled_at   BIGINT,
    created_at    BIGINT NOT NULL
);
