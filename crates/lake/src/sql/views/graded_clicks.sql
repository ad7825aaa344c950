-- One row per link followed, graded by how likely a machine followed it. Version 1 of the grading; all of history is graded
-- again when the version changes, because what was collected is not touched.
--
-- like: clicks
-- sent_at: When the message was handed over, as far as it is known.
-- seconds_after: Seconds from there to the click.
-- links_at_once: Different links of the same message that were followed within five seconds before or after, this one included.
-- grade: machine (it said so, was too hasty, or took the link that no person sees), suspect (haste or several links at
--   once, but no proof) or human.
-- grading: The version of the grading.
--
-- A reader follows one link, and not in the seconds in which scanners of mail gateways follow all of them. The link that no
-- person sees is told as `trap:` in `url`; whoever takes it is a scanner, and so is whoever follows other links of that message
-- in the same minute.
WITH sent AS (
    SELECT message_id, min(event_time) AS sent_at FROM messages WHERE message_id IS NOT NULL GROUP BY message_id
),
near AS (
    SELECT one.event_id, greatest(count(DISTINCT other.url), 1) AS links
    FROM clicks AS one JOIN clicks AS other
        ON other.message_id = one.message_id
        AND other.event_time >= one.event_time - INTERVAL '5 seconds'
        AND other.event_time <= one.event_time + INTERVAL '5 seconds'
    GROUP BY one.event_id
),
trapped AS (
    SELECT DISTINCT one.event_id
    FROM clicks AS one JOIN clicks AS trap
        ON trap.message_id = one.message_id
        AND trap.event_time >= one.event_time - INTERVAL '1 minute'
        AND trap.event_time <= one.event_time + INTERVAL '1 minute'
    WHERE trap.url = 'trap:'
)
SELECT
    clicks.*,
    sent.sent_at,
    CAST(date_part('epoch', clicks.event_time) - date_part('epoch', sent.sent_at) AS DOUBLE) AS seconds_after,
    coalesce(near.links, 1) AS links_at_once,
    CASE
        WHEN clicks.machine OR trapped.event_id IS NOT NULL THEN 'machine'
        WHEN coalesce(near.links, 1) >= 3 THEN 'machine'
        WHEN coalesce(near.links, 1) = 2 OR clicks.event_time < sent.sent_at + INTERVAL '10 seconds' THEN 'suspect'
        ELSE 'human'
    END AS grade,
    1 AS grading
FROM clicks
LEFT JOIN sent ON sent.message_id = clicks.message_id
LEFT JOIN near ON near.event_id = clicks.event_id
LEFT JOIN trapped ON trapped.event_id = clicks.event_id
