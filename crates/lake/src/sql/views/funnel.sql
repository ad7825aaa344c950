-- One row per step, day, variant and experiment: how far messages got.
--
-- experiment_id: The experiment.
-- variant: The variant.
-- event_date: The day of the step in UTC.
-- step: assigned, sent, accepted, delivered, deferred, refused, bounced, opened, clicked, ordered, unsubscribed or complained.
-- events: How many events of that step there were on that day.
-- contacts: How many different contacts they happened to on that day. Days must not be added up: a contact who opens on
--   two days is in both.
--
-- Messages, openings, clicks and feedback are counted by the experiment and the variant that they name; machines' openings
-- and clicks are left out. Each kind is grouped by itself, so that a question about one step leaves most tables alone.
--
-- An order names no experiment. As in readouts it counts in every experiment that its contact is in, for the variant of the
-- first assignment, when it was placed within seven days of the planned hour. Refunds and cancellations are no orders.
SELECT experiment_id, variant, event_date, 'assigned' AS step,
    count(*) AS events, count(DISTINCT contact_key) AS contacts
FROM assignments WHERE experiment_id IS NOT NULL GROUP BY experiment_id, variant, event_date
UNION ALL
SELECT experiment_id, variant, event_date, 'sent', count(*), count(DISTINCT contact_key)
FROM messages WHERE experiment_id IS NOT NULL GROUP BY experiment_id, variant, event_date
UNION ALL
SELECT experiment_id, variant, event_date, status, count(*), count(DISTINCT contact_key)
FROM deliveries WHERE experiment_id IS NOT NULL GROUP BY experiment_id, variant, event_date, status
UNION ALL
SELECT experiment_id, variant, event_date, 'opened', count(*), count(DISTINCT contact_key)
FROM opens WHERE experiment_id IS NOT NULL AND NOT machine GROUP BY experiment_id, variant, event_date
UNION ALL
SELECT experiment_id, variant, event_date, 'clicked', count(*), count(DISTINCT contact_key)
FROM clicks WHERE experiment_id IS NOT NULL AND NOT machine GROUP BY experiment_id, variant, event_date
UNION ALL
SELECT units.experiment_id, units.variant, orders.event_date, 'ordered', count(*), count(DISTINCT units.contact_key)
FROM (
    SELECT experiment_id, contact_key,
        first_value(variant ORDER BY event_time, received_at, event_id) AS variant,
        first_value(coalesce(planned_at, event_time) ORDER BY event_time, received_at, event_id) AS begins
    FROM assignments WHERE experiment_id IS NOT NULL
    GROUP BY experiment_id, contact_key
) AS units
JOIN orders
    ON orders.contact_key = units.contact_key
    AND orders.event_time >= units.begins
    AND orders.event_time < units.begins + INTERVAL '7 days'
WHERE orders.refund_of IS NULL
GROUP BY units.experiment_id, units.variant, orders.event_date
UNION ALL
SELECT experiment_id, variant, event_date, step, count(*), count(DISTINCT contact_key)
FROM (
    SELECT experiment_id, variant, event_date, contact_key,
        CASE feedback WHEN 'unsubscribe' THEN 'unsubscribed' ELSE 'complained' END AS step
    FROM feedback WHERE experiment_id IS NOT NULL AND feedback IN ('unsubscribe', 'complaint')
) AS left_us
GROUP BY experiment_id, variant, event_date, step
