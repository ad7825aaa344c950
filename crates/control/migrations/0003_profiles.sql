-- Contacts have more addresses than one and more is known of them. `profile` is what is known as JSON; `channels` has a bit for
-- each channel with an address, in the order of the channels. A suppression holds for the address too, by its hash.
CREATE TABLE contacts_new (
    contact_key BIGINT NOT NULL PRIMARY KEY,
    wrapped_key BLOB   NOT NULL,
    sealed      BLOB   NOT NULL,
    channels    BIGINT NOT NULL,
    profile     TEXT   NOT NULL,
    change_seq  BIGINT NOT NULL,
    created_at  BIGINT NOT NULL,
    updated_at  BIGINT NOT NULL
);

-- By what a contact is found: keyed hashes, cut to 16 bytes, of the customer's own ids and of addresses. An own id means one
-- contact; an address may belong to several where the customer wants it so.
CREATE TABLE handles (
    hash        BLOB   NOT NULL,
    contact_key BIGINT NOT NULL,
    PRIMARY KEY (hash, contact_key)
) WITHOUT ROWID;

INSERT INTO handles (hash, contact_key) SELECT substr(key_hash, 1, 16), contact_key FROM contacts;

-- A null in a merge patch leaves the member out.
INSERT INTO contacts_new
SELECT contact_key, wrapped_key, sealed, has_email,
    json_patch('{}', json_object('country', country, 'language', language, 'time_zone', time_zone,
        'attributes', json(attributes))),
    change_seq, created_at, updated_at
FROM contacts;

DROP TABLE contacts;
ALTER TABLE contacts_new RENAME TO contacts;

-- Addresses and domains that must not be written to, whoever has them and also when everything else about a person is erased.
CREATE TABLE suppressed_handles (
    hash          BLOB   NOT NULL PRIMARY KEY,
    reason        TEXT   NOT NULL,
    suppressed_at BIGINT NOT NULL
) WITHOUT ROWID;
