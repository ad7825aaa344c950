-- ordered at least once between 30 and 120 days ago
-- never ordered within 30 days
SELECT contacts.contact_key
FROM contacts
LEFT JOIN (
    SELECT
        contact_key,
        count(*) FILTER (WHERE event_time <= TIMESTAMP '2026-01-30T12:30:00Z') AS ordered_1,
        count(*) FILTER (WHERE event_time > TIMESTAMP '2026-01-30T12:30:00Z') AS ordered_2
    FROM orders
    WHERE refund_of IS NULL
        AND event_date BETWEEN DATE '2025-11-01' AND DATE '2026-03-01'
        AND event_time > TIMESTAMP '2025-11-01T12:30:00Z'
        AND event_time <= TIMESTAMP '2026-03-01T12:30:00Z'
    GROUP BY contact_key
) AS orders ON orders.contact_key = contacts.contact_key
WHERE ordered_1 >= 1
    AND (ordered_2 >= 1) IS NOT TRUE
