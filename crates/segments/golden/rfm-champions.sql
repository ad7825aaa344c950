-- ordered at least once within 30 days
-- ordered at least 5 times within 365 days
-- spent at least 500 within 365 days
SELECT contacts.contact_key
FROM contacts
LEFT JOIN (
    SELECT
        contact_key,
        count(*) FILTER (WHERE refund_of IS NULL AND event_time > TIMESTAMP '2026-01-30T12:30:00Z') AS ordered_1,
        count(*) FILTER (WHERE refund_of IS NULL) AS ordered_2,
        sum(amount_base_minor) AS spent_1
    FROM orders
    WHERE event_date BETWEEN DATE '2025-03-01' AND DATE '2026-03-01'
        AND event_time > TIMESTAMP '2025-03-01T12:30:00Z'
        AND event_time <= TIMESTAMP '2026-03-01T12:30:00Z'
    GROUP BY contact_key
) AS orders ON orders.contact_key = contacts.contact_key
WHERE ordered_1 >= 1
    AND ordered_2 >= 5
    AND spent_1 >= 50000
