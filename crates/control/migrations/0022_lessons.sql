-- What the look that ended an experiment taught, a JSON array: of each experiment the newest such look.
CREATE TABLE lessons (
    experiment_id TEXT NOT NULL PRIMARY KEY REFERENCES experiments (experiment_id),
    body          TEXT NOT NULL
);
