-- What is known of one experiment: one row per unit, with what they did, by age.
--
-- The unit is the intended recipient: a contact counts from their first assignment, whatever was delivered later.
-- Outcomes count from the planned hour of sending for the length of the window. Opens, clicks and feedback that name another
-- experiment are left out; orders count whatever led to them.
--
-- A refund or cancellation is a negative order that names the one it takes back. It lowers the amount, by its own time
-- as everything else, and is no order: orders count as placed, kept or not. To uncount an order that was paid back would
-- make the count depend on how fast a shop pays back, as most refunds come after the window.
--
-- What happened is a number with a bit for each kind of thing, in the order of `experiment::cells::What`: 1 sent, 2 accepted, 4 opened,
-- 8 by a human, 16 clicked, 32 by a human, 64 ordered, 128 without a rate, 256 unsubscribed, 512 complained, 1024 bounced or refused,
-- 2048 replied.
--
-- The words that begin with a dollar sign are filled in before it runs. `$told` is where assignments are told, or for those who were sent what
-- was recommended their messages. `$whom` narrows it to some contacts, and `$within` to the time in which anything can count for any of
-- them. Where what was before is asked for as well, `$from` lies before a unit begins, `$other` gives what names another experiment the bit
-- 4096, and `$theirs` lets that count before only.
WITH units AS (
    SELECT
        contact_key,
        first_assignment(event_time, received_at, event_id, variant, $market, $begins) AS first
    FROM $told
    WHERE experiment_id = $experiment AND $whom
    GROUP BY contact_key
),
outcomes AS (
    SELECT contact_key, event_time, 1$other AS what, CAST(0 AS BIGINT) AS amount_minor
    FROM messages WHERE $ours AND $within AND $whom
    UNION ALL
    SELECT contact_key, event_time, CASE WHEN status IN ('accepted', 'delivered') THEN 2 ELSE 1024 END$other, CAST(0 AS BIGINT)
    FROM deliveries
    WHERE $ours
        AND status IN ('accepted', 'delivered', 'refused', 'bounced') AND $within AND $whom
    UNION ALL
    SELECT contact_key, event_time, CASE WHEN machine THEN 4 ELSE 12 END$other, CAST(0 AS BIGINT)
    FROM opens WHERE $ours AND $within AND $whom
    UNION ALL
    SELECT contact_key, event_time, CASE WHEN machine THEN 16 ELSE 48 END$other, CAST(0 AS BIGINT)
    FROM clicks WHERE $ours AND $within AND $whom
    UNION ALL
    SELECT contact_key, event_time,
        CASE WHEN refund_of IS NULL THEN 64 ELSE 0 END + CASE WHEN amount_base_minor IS NULL THEN 128 ELSE 0 END,
        coalesce(amount_base_minor, 0)
    FROM orders WHERE $within AND $whom
    UNION ALL
    SELECT contact_key, event_time,
        CASE feedback WHEN 'unsubscribe' THEN 256 WHEN 'complaint' THEN 512 ELSE 2048 END$other,
        CAST(0 AS BIGINT)
    FROM feedback
    WHERE $ours
        AND feedback IN ('unsubscribe', 'complaint', 'reply') AND $within AND $whom
)
SELECT first['variant'], first['market'], first['begins'], first['crossed'], tallies
FROM (
    SELECT units.contact_key, units.first, tally(outcomes.event_time, first['begins'], outcomes.what, outcomes.amount_minor) AS tallies
    FROM outcomes
    RIGHT JOIN units
        ON outcomes.contact_key = units.contact_key
        AND outcomes.event_time >= $from
        AND outcomes.event_time < first['begins'] + $window
        $theirs
    GROUP BY units.contact_key, units.first
)
