-- Looks at an experiment that could have decided, each with its readout. `fraction` is how much of the planned recipients it rested on, NULL
-- where their number is not known beforehand: what later looks may still claim depends on it.
CREATE TABLE decisions (
    decision_seq  INTEGER NOT NULL PRIMARY KEY,
    experiment_id TEXT    NOT NULL REFERENCES experiments (experiment_id),
    readout_id    TEXT    NOT NULL UNIQUE REFERENCES readouts (readout_id),
    body          TEXT    NOT NULL,
    fraction      REAL,
    stored_at     BIGINT  NOT NULL
);
CREATE INDEX decisions_of_experiments ON decisions (experiment_id, decision_seq);

-- What is expected of a recommendation, a JSON object of `gain` and `loss`; NULL where a person decided.
ALTER TABLE recommendations ADD COLUMN expected TEXT;
