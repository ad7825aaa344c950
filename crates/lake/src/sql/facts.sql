-- What contacts did, by the words of triggers, in order of contact and time. `$words` are the words that are asked for,
-- `$which` narrows it to some contacts and a time.
-- A refund is a negative order; one without an exchange rate says nothing.
SELECT contact_key, event_time, what, amount, product
FROM (
    SELECT contact_key, event_time, 'ordered' AS what, coalesce(amount_base_minor, 0) AS amount, CAST(NULL AS VARCHAR) AS product
    FROM orders
    WHERE refund_of IS NULL OR amount_base_minor < 0
    UNION ALL
    SELECT contact_key, event_time, 'opened', 0, NULL FROM opens WHERE NOT machine
    UNION ALL
    SELECT contact_key, event_time, 'clicked', 0, NULL FROM clicks WHERE NOT machine
    UNION ALL
    SELECT contact_key, event_time, CASE feedback WHEN 'unsubscribe' THEN 'unsubscribed' ELSE 'complained' END, 0, NULL
    FROM feedback
    WHERE feedback IN ('unsubscribe', 'complaint')
    UNION ALL
    SELECT contact_key, event_time, CASE activity WHEN 'viewed' THEN 'browsed' ELSE activity END, 0, product FROM activities
)
WHERE what IN ($words) AND $which
ORDER BY contact_key, event_time
