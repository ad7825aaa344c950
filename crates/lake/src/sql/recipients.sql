-- How many rows tell of recipients of an experiment, from which key to which, and from when to when units begin. `$whom` narrows it to some
-- contacts.
SELECT
    count(*), min(contact_key), max(contact_key),
    min($begins) AS first, max($begins) AS last
FROM $told
WHERE experiment_id = $experiment AND $whom
