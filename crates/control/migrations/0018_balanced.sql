-- Which draw of its assignment counts for an experiment whose groups were balanced, with how it was found. Never changed.
CREATE TABLE balanced (
    experiment_id TEXT   NOT NULL PRIMARY KEY REFERENCES experiments (experiment_id),
    record        TEXT   NOT NULL,
    stored_at     BIGINT NOT NULL
) WITHOUT ROWID;

CREATE TRIGGER balanced_stay BEFORE UPDATE ON balanced
BEGIN
    SELECT RAISE (ABORT, 'the draw of an experiment is never changed');
END;
