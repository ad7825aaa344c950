-- Subscription forms.
CREATE TABLE forms (
    form       TEXT   NOT NULL PRIMARY KEY,
    definition TEXT   NOT NULL,
    stored_at  BIGINT NOT NULL
);

-- Who filled a form and has not confirmed it. `handle` is the hash of the address, `sealed` holds it with the token of the link. A
-- row goes with the confirmation, or when it is too old.
CREATE TABLE subscriptions (
    token_hash   BLOB   NOT NULL PRIMARY KEY,
    form         TEXT   NOT NULL,
    handle       BLOB   NOT NULL,
    sealed       BLOB   NOT NULL,
    requested_at BIGINT NOT NULL,
    tries        BIGINT NOT NULL DEFAULT 0,
    sent_at      BIGINT
) WITHOUT ROWID;
CREATE INDEX subscriptions_by_handle ON subscriptions (handle, requested_at);
CREATE INDEX subscriptions_unsent ON subscriptions (requested_at) WHERE sent_at IS NULL;
