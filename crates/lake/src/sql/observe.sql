-- What is known of one experiment at one moment: one row per variant.
--
-- The unit is the intended recipient: a contact counts from their first assignment, whatever was delivered later.
-- Outcomes count from the planned hour of sending for the length of the window, and only contacts whose window is
-- over count at all, so that everybody had equally long. Opens, clicks and feedback that name another experiment are
-- left out; orders count whatever led to them.
--
-- A refund or cancellation is a negative order that names the one it takes back. It lowers the amount, by its own time
-- as everything else, and is no order: orders count as placed, kept or not. To uncount an order that was paid back would
-- make the count depend on how fast a shop pays back, as most refunds come after the window.
--
-- The words that begin with a dollar sign are filled in before it runs.
WITH units AS (
    SELECT
        contact_key,
        first_value(variant ORDER BY event_time, received_at, event_id) AS variant,
        first_value(coalesce(planned_at, event_time) ORDER BY event_time, received_at, event_id) AS begins,
        coalesce(min(variant) <> max(variant), false) AS crossed
    FROM assignments
    WHERE experiment_id = $experiment
    GROUP BY contact_key
),
windows AS (
    SELECT
        contact_key, variant, crossed, begins,
        begins + $window AS ends,
        begins + $window <= $as_of AS mature
    FROM units
),
outcomes AS (
    SELECT contact_key, event_time,
        1 AS sent, 0 AS accepted, 0 AS opens, 0 AS human_opens, 0 AS clicks, 0 AS human_clicks,
        0 AS orders, 0 AS unconverted, CAST(0 AS BIGINT) AS amount_minor, 0 AS unsubscribes, 0 AS complaints
    FROM messages WHERE experiment_id = $experiment OR experiment_id IS NULL
    UNION ALL
    SELECT contact_key, event_time, 0, 1, 0, 0, 0, 0, 0, 0, CAST(0 AS BIGINT), 0, 0
    FROM deliveries
    WHERE (experiment_id = $experiment OR experiment_id IS NULL) AND status IN ('accepted', 'delivered')
    UNION ALL
    SELECT contact_key, event_time, 0, 0, 1, CASE WHEN machine THEN 0 ELSE 1 END, 0, 0, 0, 0, CAST(0 AS BIGINT), 0, 0
    FROM opens WHERE experiment_id = $experiment OR experiment_id IS NULL
    UNION ALL
    SELECT contact_key, event_time, 0, 0, 0, 0, 1, CASE WHEN machine THEN 0 ELSE 1 END, 0, 0, CAST(0 AS BIGINT), 0, 0
    FROM clicks WHERE experiment_id = $experiment OR experiment_id IS NULL
    UNION ALL
    SELECT contact_key, event_time, 0, 0, 0, 0, 0, 0, CASE WHEN refund_of IS NULL THEN 1 ELSE 0 END,
        CASE WHEN amount_base_minor IS NULL THEN 1 ELSE 0 END, coalesce(amount_base_minor, 0), 0, 0
    FROM orders
    UNION ALL
    SELECT contact_key, event_time, 0, 0, 0, 0, 0, 0, 0, 0, CAST(0 AS BIGINT),
        CASE WHEN feedback = 'unsubscribe' THEN 1 ELSE 0 END, CASE WHEN feedback = 'complaint' THEN 1 ELSE 0 END
    FROM feedback
    WHERE (experiment_id = $experiment OR experiment_id IS NULL) AND feedback IN ('unsubscribe', 'complaint')
),
totals AS (
    SELECT
        windows.contact_key, windows.variant, windows.crossed, windows.mature,
        coalesce(sum(sent), 0) AS sent,
        coalesce(sum(accepted), 0) AS accepted,
        coalesce(sum(opens), 0) AS opens,
        coalesce(sum(human_opens), 0) AS human_opens,
        coalesce(sum(clicks), 0) AS clicks,
        coalesce(sum(human_clicks), 0) AS human_clicks,
        coalesce(sum(orders), 0) AS orders,
        coalesce(sum(unconverted), 0) AS unconverted,
        coalesce(sum(amount_minor), 0) AS amount_minor,
        coalesce(sum(unsubscribes), 0) AS unsubscribes,
        coalesce(sum(complaints), 0) AS complaints
    FROM windows
    LEFT JOIN outcomes
        ON outcomes.contact_key = windows.contact_key
        AND outcomes.event_time >= windows.begins
        AND outcomes.event_time < windows.ends
        AND windows.mature
    GROUP BY windows.contact_key, windows.variant, windows.crossed, windows.mature
)
SELECT
    variant,
    count(*) AS assigned,
    count(*) FILTER (WHERE mature) AS mature,
    count(*) FILTER (WHERE crossed) AS crossovers,
    count(*) FILTER (WHERE sent > 0) AS sent,
    count(*) FILTER (WHERE accepted > 0) AS accepted,
    count(*) FILTER (WHERE human_opens > 0) AS opened,
    count(*) FILTER (WHERE human_clicks > 0) AS clicked,
    count(*) FILTER (WHERE orders > 0) AS ordered,
    CAST(sum(unconverted) AS BIGINT) AS unconverted
    $metrics
FROM totals
GROUP BY variant
