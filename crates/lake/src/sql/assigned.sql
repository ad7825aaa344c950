-- How many assignments an experiment has, from which key to which, and from when to when units begin. `$whom` narrows it to some contacts.
SELECT
    count(*), min(contact_key), max(contact_key),
    min(coalesce(planned_at, event_time)) AS first, max(coalesce(planned_at, event_time)) AS last
FROM assignments
WHERE experiment_id = $experiment AND $whom
