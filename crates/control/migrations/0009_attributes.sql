-- What type the customer's own attributes have. One that is not here is text.
CREATE TABLE attributes (
    name  TEXT NOT NULL PRIMARY KEY,
    type  TEXT NOT NULL CHECK (type IN ('text', 'number', 'boolean', 'date')),
    about TEXT
);
