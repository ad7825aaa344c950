-- Erasures of contacts. The rows of `contacts`, with the keys that open them, are deleted in the same transaction; what
-- remains to do is in the lake. `contact_keys` holds eight bytes for each surrogate key until that is done.
CREATE TABLE erasures (
    erasure_seq   INTEGER PRIMARY KEY,
    erasure_id    TEXT   NOT NULL UNIQUE,
    contact_count BIGINT NOT NULL,
    unknown_count BIGINT NOT NULL,
    contact_keys  BLOB   NOT NULL,
    requested_at  BIGINT NOT NULL,
    done_at       BIGINT,
    certificate   TEXT
);

-- How many units of each experiment were erased: readouts say so.
CREATE TABLE erased_units (
    experiment_id TEXT   NOT NULL PRIMARY KEY,
    units         BIGINT NOT NULL
);

-- Surrogate keys that mean nobody any more. Links in old mails still carry them; what comes in over such a link is not kept.
CREATE TABLE erased_contacts (
    contact_key BIGINT NOT NULL PRIMARY KEY
);

INSERT INTO changes (noun, number) VALUES ('erasures', 0);
