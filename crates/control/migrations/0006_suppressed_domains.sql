-- Domains of e-mail that must not be written to, by keyed hash: asked when addresses are opened to be handed over.
CREATE TABLE suppressed_domains (
    hash          BLOB   NOT NULL PRIMARY KEY,
    reason        TEXT   NOT NULL,
    suppressed_at BIGINT NOT NULL
) WITHOUT ROWID;
