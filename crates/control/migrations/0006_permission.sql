-- Why somebody is not written to is one of a few words, so that the rules can tell what it stops, and may be about one channel.
-- An empty channel means every one.
CREATE TABLE suppressions_new (
    contact_key   BIGINT NOT NULL,
    reason        TEXT   NOT NULL CHECK (reason IN
        ('unsubscribed', 'complained', 'hard_bounced', 'invalid', 'register', 'legal', 'manual')),
    channel       TEXT   NOT NULL,
    note          TEXT,
    suppressed_at BIGINT NOT NULL,
    PRIMARY KEY (contact_key, reason, channel)
) WITHOUT ROWID;
INSERT INTO suppressions_new
SELECT contact_key, CASE WHEN reason LIKE 'unsubscribed%' THEN 'unsubscribed' ELSE 'manual' END, '', reason, suppressed_at
FROM suppressions;
DROP TABLE suppressions;
ALTER TABLE suppressions_new RENAME TO suppressions;

CREATE TABLE suppressed_handles_new (
    hash          BLOB   NOT NULL,
    reason        TEXT   NOT NULL CHECK (reason IN
        ('unsubscribed', 'complained', 'hard_bounced', 'invalid', 'register', 'legal', 'manual')),
    channel       TEXT   NOT NULL,
    note          TEXT,
    suppressed_at BIGINT NOT NULL,
    PRIMARY KEY (hash, reason)
) WITHOUT ROWID;
INSERT INTO suppressed_handles_new
SELECT hash, CASE WHEN reason LIKE 'unsubscribed%' THEN 'unsubscribed' ELSE 'manual' END, '', reason, suppressed_at
FROM suppressed_handles;
DROP TABLE suppressed_handles;
ALTER TABLE suppressed_handles_new RENAME TO suppressed_handles;

-- Wordings are long, and many people agreed to the same one.
CREATE TABLE wordings (
    wording_id INTEGER PRIMARY KEY,
    wording    TEXT NOT NULL UNIQUE
);

-- What people said about being written to, never overwritten by what they say later. No basis means that it was withdrawn.
-- `evidence` is sealed under the contact's own key.
CREATE TABLE consents (
    contact_key BIGINT NOT NULL,
    channel     TEXT   NOT NULL,
    purpose     TEXT   NOT NULL,
    said_at     BIGINT NOT NULL,
    basis       TEXT,
    source      TEXT,
    wording_id  BIGINT REFERENCES wordings (wording_id),
    evidence    BLOB,
    recorded_at BIGINT NOT NULL,
    PRIMARY KEY (contact_key, channel, purpose, said_at)
) WITHOUT ROWID;

-- What a contact was sent lately decides whether more may be sent.
ALTER TABLE ledger ADD COLUMN channel TEXT NOT NULL DEFAULT 'email';
ALTER TABLE ledger ADD COLUMN class   TEXT NOT NULL DEFAULT 'marketing';
CREATE INDEX ledger_by_contact ON ledger (contact_key, claimed_at);
