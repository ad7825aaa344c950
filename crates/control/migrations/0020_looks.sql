-- A kept readout can be recomputed: `digest` is the SHA-256 of `body`, `definition` the experiment as it was written when it was read
-- out. Both are NULL for readouts that were kept before; `definition` also where the experiment was changed at that moment.
ALTER TABLE readouts ADD COLUMN digest TEXT;
ALTER TABLE readouts ADD COLUMN definition TEXT;
