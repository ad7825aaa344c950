-- The customer's own days in the calendar, replaced as a whole.
CREATE TABLE own_days (
    name      TEXT NOT NULL,
    market    TEXT,
    first_day TEXT NOT NULL,
    last_day  TEXT NOT NULL,
    effect    TEXT NOT NULL
);
