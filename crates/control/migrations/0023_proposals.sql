-- What waits for a second person, because it would send a variant to many: the recommendations as they would be made, a JSON array. `proposed_by` and
-- `settled_by` are the names of keys; NULL is the server itself, or that nobody settled it yet.
CREATE TABLE proposals (
    proposal_seq    INTEGER NOT NULL PRIMARY KEY,
    proposal_id     TEXT    NOT NULL UNIQUE,
    experiment_id   TEXT    NOT NULL REFERENCES experiments (experiment_id),
    recommendations TEXT    NOT NULL,
    recipients      INTEGER NOT NULL,
    proposed_key    TEXT,
    proposed_by     TEXT,
    proposed_at     BIGINT  NOT NULL,
    state           TEXT    NOT NULL,
    settled_by      TEXT,
    settled_at      BIGINT,
    note            TEXT    NOT NULL DEFAULT ''
);
CREATE INDEX proposals_of_experiments ON proposals (experiment_id, proposal_seq);
CREATE UNIQUE INDEX open_proposals ON proposals (experiment_id) WHERE state = 'open';
