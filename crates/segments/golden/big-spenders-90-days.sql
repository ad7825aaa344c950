-- spent more than 250 within 90 days
SELECT contacts.contact_key
FROM contacts
LEFT JOIN (
    SELECT
        contact_key,
        sum(amount_base_minor) AS spent_1
    FROM orders
    WHERE event_date BETWEEN DATE '2025-12-01' AND DATE '2026-03-01'
        AND event_time > TIMESTAMP '2025-12-01T12:30:00Z'
        AND event_time <= TIMESTAMP '2026-03-01T12:30:00Z'
    GROUP BY contact_key
) AS orders ON orders.contact_key = contacts.contact_key
WHERE spent_1 > 25000
