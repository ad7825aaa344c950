-- Templates of messages to one person, such as a code or a receipt, by name.
CREATE TABLE templates (
    template   TEXT   NOT NULL PRIMARY KEY,
    definition TEXT   NOT NULL,
    stored_at  BIGINT NOT NULL
);

-- Messages to one person that other systems told to send. `message_id` and `request` are keyed hashes of the caller's id and of all
-- that was asked for. `sealed` holds the address and the values of the template; it goes when the message is settled, the rest a
-- month later. `handle` is the keyed hash of the address that was given, else empty.
CREATE TABLE outbox (
    message_id  TEXT   NOT NULL PRIMARY KEY,
    request     BLOB   NOT NULL,
    class       TEXT   NOT NULL,
    channel     TEXT   NOT NULL,
    template    TEXT   NOT NULL,
    contact_key BIGINT NOT NULL,
    handle      BLOB   NOT NULL,
    sealed      BLOB,
    state       TEXT   NOT NULL
        CHECK (state IN ('waiting', 'claimed', 'accepted', 'refused', 'in_doubt', 'expired')),
    worker      TEXT,
    tries       BIGINT NOT NULL DEFAULT 0,
    told_at     BIGINT NOT NULL,
    next_at     BIGINT NOT NULL,
    expires_at  BIGINT NOT NULL,
    settled_at  BIGINT,
    reply       TEXT
) WITHOUT ROWID;
CREATE INDEX outbox_open ON outbox (class, next_at) WHERE state IN ('waiting', 'claimed');
CREATE INDEX outbox_by_contact ON outbox (contact_key);
CREATE INDEX outbox_by_handle ON outbox (handle);
CREATE INDEX outbox_settled ON outbox (settled_at) WHERE settled_at IS NOT NULL;
