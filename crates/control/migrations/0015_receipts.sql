-- Test messages wait in the outbox too: which campaign and variant they show. Their template is empty.
ALTER TABLE outbox ADD COLUMN test_campaign TEXT;
ALTER TABLE outbox ADD COLUMN test_variant TEXT;
CREATE INDEX outbox_tests ON outbox (test_campaign, told_at) WHERE test_campaign IS NOT NULL;

-- The ids that providers gave messages they took, by which their receipts speak of them later.
CREATE TABLE given_ids (
    gateway     TEXT   NOT NULL,
    provider_id TEXT   NOT NULL,
    message_id  TEXT   NOT NULL,
    contact_key BIGINT NOT NULL,
    noted_at    BIGINT NOT NULL,
    PRIMARY KEY (gateway, provider_id)
) WITHOUT ROWID;
CREATE INDEX given_ids_by_contact ON given_ids (contact_key);
CREATE INDEX given_ids_noted ON given_ids (noted_at);

-- Receipts that came before it was known which message they are about, or when the lake could not take them.
CREATE TABLE early_receipts (
    gateway     TEXT   NOT NULL,
    provider_id TEXT   NOT NULL,
    status      TEXT   NOT NULL,
    reply       TEXT   NOT NULL,
    told_at     BIGINT NOT NULL,
    PRIMARY KEY (gateway, provider_id, status)
) WITHOUT ROWID;

-- How many receipts of each gateway were about no message that is known.
CREATE TABLE unknown_receipts (
    gateway       TEXT   NOT NULL PRIMARY KEY,
    receipt_count BIGINT NOT NULL
) WITHOUT ROWID;
