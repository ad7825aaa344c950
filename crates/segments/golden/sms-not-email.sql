-- clicked on sms at least once within 90 days
-- never opened on email within 90 days and never clicked on email within 90 days
SELECT contacts.contact_key
FROM contacts
LEFT JOIN (
    SELECT
        contact_key,
        count(*) FILTER (WHERE channel = 'sms') AS clicked_1,
        count(*) FILTER (WHERE channel = 'email') AS clicked_2
    FROM clicks
    WHERE NOT machine
        AND event_date BETWEEN DATE '2025-12-01' AND DATE '2026-03-01'
        AND event_time > TIMESTAMP '2025-12-01T12:30:00Z'
        AND event_time <= TIMESTAMP '2026-03-01T12:30:00Z'
    GROUP BY contact_key
) AS clicks ON clicks.contact_key = contacts.contact_key
LEFT JOIN (
    SELECT
        contact_key,
        count(*) AS opened_1
    FROM opens
    WHERE NOT machine
        AND channel = 'email'
        AND event_date BETWEEN DATE '2025-12-01' AND DATE '2026-03-01'
        AND event_time > TIMESTAMP '2025-12-01T12:30:00Z'
        AND event_time <= TIMESTAMP '2026-03-01T12:30:00Z'
    GROUP BY contact_key
) AS opens ON opens.contact_key = contacts.contact_key
WHERE clicked_1 >= 1
    AND (
        opened_1 >= 1
        OR clicked_2 >= 1
    ) IS NOT TRUE
