-- What messages show of products, beside their prices.
CREATE TABLE products (
    product    TEXT   NOT NULL PRIMARY KEY,
    definition TEXT   NOT NULL,
    stored_at  BIGINT NOT NULL
) WITHOUT ROWID;

-- Pieces of templates. Every version stays, because a campaign keeps those of the moment at which it was started.
CREATE TABLE snippets (
    number     INTEGER PRIMARY KEY AUTOINCREMENT,
    snippet    TEXT    NOT NULL,
    definition TEXT    NOT NULL,
    stored_at  BIGINT  NOT NULL
);
CREATE INDEX snippets_by_name ON snippets (snippet, number);

-- The newest version of any snippet that a started campaign sees.
ALTER TABLE campaigns ADD COLUMN snippets_until BIGINT;
