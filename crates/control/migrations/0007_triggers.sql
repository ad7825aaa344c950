-- What begins a message by itself. `version` grows when the condition changes; what was remembered of contacts and how often they
-- entered is forgotten then. `cursor` tells what was evaluated so far, as JSON; null before the first time.
CREATE TABLE triggers (
    trigger_name TEXT    NOT NULL PRIMARY KEY,
    version      BIGINT  NOT NULL,
    definition   TEXT    NOT NULL,
    is_running   BOOLEAN NOT NULL,
    started_at   BIGINT  NOT NULL,
    stored_at    BIGINT  NOT NULL,
    cursor       TEXT,
    evaluated_at BIGINT
);

-- What is remembered of a contact, when they must be looked at without an event, and whether they are in the segment.
CREATE TABLE trigger_states (
    trigger_name TEXT    NOT NULL,
    contact_key  BIGINT  NOT NULL,
    state        TEXT    NOT NULL,
    due          BIGINT,
    is_member    BOOLEAN NOT NULL,
    PRIMARY KEY (trigger_name, contact_key)
) WITHOUT ROWID;
CREATE INDEX trigger_states_due ON trigger_states (trigger_name, due) WHERE due IS NOT NULL;

-- Each entry of a contact that ended, once.
CREATE TABLE firings (
    firing_seq   INTEGER PRIMARY KEY,
    trigger_name TEXT   NOT NULL,
    version      BIGINT NOT NULL,
    contact_key  BIGINT NOT NULL,
    occurrence   BIGINT NOT NULL,
    campaign_id  TEXT   NOT NULL,
    true_at      BIGINT NOT NULL,
    due          BIGINT NOT NULL,
    outcome      TEXT   NOT NULL CHECK (outcome IN ('send', 'held_out', 'exited')),
    fired_at     BIGINT NOT NULL,
    UNIQUE (trigger_name, version, contact_key, occurrence)
);
CREATE INDEX firings_by_contact ON firings (contact_key);

-- The newest price of each product, and when one fell.
CREATE TABLE prices (
    product    TEXT   NOT NULL PRIMARY KEY,
    minor      BIGINT NOT NULL,
    currency   TEXT   NOT NULL,
    changed_at BIGINT NOT NULL
) WITHOUT ROWID;
CREATE TABLE price_drops (
    drop_seq INTEGER PRIMARY KEY AUTOINCREMENT,
    product  TEXT   NOT NULL,
    percent  BIGINT NOT NULL,
    at       BIGINT NOT NULL
);
