-- A campaign may send several messages to a contact: an entry of a trigger is a step of its own. An empty step is the only message
-- of a campaign that sends one. Rows keep their order, by which it is told which of two claims was earlier.
CREATE TABLE ledger_new (
    campaign_id       TEXT   NOT NULL REFERENCES campaigns (campaign_id),
    contact_key       BIGINT NOT NULL,
    step              TEXT   NOT NULL,
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
    channel           TEXT   NOT NULL,
    class             TEXT   NOT NULL,
    PRIMARY KEY (campaign_id, contact_key, step)
);
INSERT INTO ledger_new
SELECT campaign_id, contact_key, '', message_id, experiment_id, variant, market, recommendation_id, state, worker, claimed_at,
    settled_at, reply, channel, class
FROM ledger ORDER BY rowid;
DROP TABLE ledger;
ALTER TABLE ledger_new RENAME TO ledger;
CREATE INDEX ledger_open ON ledger (worker, claimed_at) WHERE state = 'claimed';
CREATE INDEX ledger_by_contact ON ledger (contact_key, claimed_at);

-- The plan that an entry went into, null before; and when to look at it again, where a rule put its message off. Entries of
-- versions that sent nothing to them stay without a message: 0 is no plan.
ALTER TABLE firings ADD COLUMN plan_version BIGINT;
ALTER TABLE firings ADD COLUMN not_before BIGINT NOT NULL DEFAULT 0;
UPDATE firings SET plan_version = 0;
CREATE INDEX firings_open ON firings (campaign_id, not_before) WHERE outcome = 'send' AND plan_version IS NULL;
