-- How many messages of a warm-up left on each day, counted before they leave. `day` is the days since 1970-01-01 in UTC; `is_full` says
-- that something had to wait for the next one.
CREATE TABLE warm_up_days (
    warm_up TEXT    NOT NULL,
    day     BIGINT  NOT NULL,
    sent    BIGINT  NOT NULL,
    is_full BOOLEAN NOT NULL DEFAULT FALSE,
    PRIMARY KEY (warm_up, day)
) WITHOUT ROWID;
