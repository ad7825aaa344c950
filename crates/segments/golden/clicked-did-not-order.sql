-- clicked in campaign spring-test at least once within 14 days
-- never ordered within 14 days
SELECT contacts.contact_key
FROM contacts
LEFT JOIN (
    SELECT
        contact_key,
        count(*) AS clicked_1
    FROM clicks
    WHERE NOT machine
        AND campaign_id = 'spring-test'
        AND event_date BETWEEN DATE '2026-02-15' AND DATE '2026-03-01'
        AND event_time > TIMESTAMP '2026-02-15T12:30:00Z'
        AND event_time <= TIMESTAMP '2026-03-01T12:30:00Z'
    GROUP BY contact_key
) AS clicks ON clicks.contact_key = contacts.contact_key
LEFT JOIN (
    SELECT
        contact_key,
        count(*) AS ordered_1
    FROM orders
    WHERE refund_of IS NULL
        AND event_date BETWEEN DATE '2026-02-15' AND DATE '2026-03-01'
        AND event_time > TIMESTAMP '2026-02-15T12:30:00Z'
        AND event_time <= TIMESTAMP '2026-03-01T12:30:00Z'
    GROUP BY contact_key
) AS orders ON orders.contact_key = contacts.contact_key
WHERE clicked_1 >= 1
    AND (ordered_1 >= 1) IS NOT TRUE
