-- The products that contacts looked at, the last first. `$when` is the time that is looked at.
SELECT contact_key, product, - CAST(max(event_time) AS BIGINT) AS position
FROM activities
WHERE activity = 'viewed' AND product IS NOT NULL AND $when
GROUP BY contact_key, product
