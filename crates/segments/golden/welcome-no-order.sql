-- registered between 3 and 4 days ago
-- never ordered
SELECT contacts.contact_key
FROM contacts
LEFT JOIN (
    SELECT
        contact_key,
        count(*) AS ordered_1
    FROM orders
    WHERE refund_of IS NULL
        AND event_date <= DATE '2026-03-01'
        AND event_time <= TIMESTAMP '2026-03-01T12:30:00Z'
    GROUP BY contact_key
) AS orders ON orders.contact_key = contacts.contact_key
WHERE created_at > TIMESTAMP '2026-02-25T12:30:00Z'
    AND created_at <= TIMESTAMP '2026-02-26T12:30:00Z'
    AND coalesce(ordered_1, 0) = 0
