-- ordered at least once
-- never opened within 30 days and never clicked within 30 days and never ordered within 30 days
SELECT contacts.contact_key
FROM contacts
LEFT JOIN (
    SELECT
        contact_key,
        count(*) AS ordered_1,
        count(*) FILTER (WHERE event_time > TIMESTAMP '2026-01-30T12:30:00Z') AS ordered_2
    FROM orders
    WHERE refund_of IS NULL
        AND event_date <= DATE '2026-03-01'
        AND event_time <= TIMESTAMP '2026-03-01T12:30:00Z'
    GROUP BY contact_key
) AS orders ON orders.contact_key = contacts.contact_key
LEFT JOIN (
    SELECT
        contact_key,
        count(*) AS opened_1
    FROM opens
    WHERE NOT machine
        AND event_date BETWEEN DATE '2026-01-30' AND DATE '2026-03-01'
        AND event_time > TIMESTAMP '2026-01-30T12:30:00Z'
        AND event_time <= TIMESTAMP '2026-03-01T12:30:00Z'
    GROUP BY contact_key
) AS opens ON opens.contact_key = contacts.contact_key
LEFT JOIN (
    SELECT
        contact_key,
        count(*) AS clicked_1
    FROM clicks
    WHERE NOT machine
        AND event_date BETWEEN DATE '2026-01-30' AND DATE '2026-03-01'
        AND event_time > TIMESTAMP '2026-01-30T12:30:00Z'
        AND event_time <= TIMESTAMP '2026-03-01T12:30:00Z'
    GROUP BY contact_key
) AS clicks ON clicks.contact_key = contacts.contact_key
WHERE ordered_1 >= 1
    AND (
        opened_1 >= 1
        OR clicked_1 >= 1
        OR ordered_2 >= 1
    ) IS NOT TRUE
