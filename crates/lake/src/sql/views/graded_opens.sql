-- One row per opening of a message, graded by how likely a machine opened it. Version 1 of the grading; all of history is graded
-- again when the version changes, because what was collected is not touched.
--
-- like: opens
-- sent_at: When the message was handed over, as far as it is known.
-- seconds_after: Seconds from there to the opening.
-- grade: machine (it said so, was too hasty, or took the link that no person sees), suspect (within ten seconds, but no
--   proof) or human.
-- grading: The version of the grading.
--
-- Mail programs that fetch pictures for their readers, such as Apple's with Mail Privacy Protection, open what nobody looked at;
-- they are told by their names when they fetch. What they fetch is an arrival, not a reading.
WITH sent AS (
    SELECT message_id, min(event_time) AS sent_at FROM messages WHERE message_id IS NOT NULL GROUP BY message_id
),
trapped AS (
    SELECT DISTINCT one.event_id
    FROM opens AS one JOIN clicks AS trap
        ON trap.message_id = one.message_id
        AND trap.event_time >= one.event_time - INTERVAL '1 minute'
        AND trap.event_time <= one.event_time + INTERVAL '1 minute'
    WHERE trap.url = 'trap:'
)
SELECT
    opens.*,
    sent.sent_at,
    CAST(date_part('epoch', opens.event_time) - date_part('epoch', sent.sent_at) AS DOUBLE) AS seconds_after,
    CASE
        WHEN opens.machine OR trapped.event_id IS NOT NULL THEN 'machine'
        WHEN opens.event_time < sent.sent_at + INTERVAL '10 seconds' THEN 'suspect'
        ELSE 'human'
    END AS grade,
    1 AS grading
FROM opens
LEFT JOIN sent ON sent.message_id = opens.message_id
LEFT JOIN trapped ON trapped.event_id = opens.event_id
