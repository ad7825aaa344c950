-- The products that contacts had put in the cart in the week before an order, the last order first. `$when` is the time that is
-- looked at. Orders do not say what was ordered; the cart does.
SELECT carted.contact_key, carted.product, - max(ordered.moment) AS position
FROM (
    SELECT contact_key, product, CAST(event_time AS BIGINT) AS moment
    FROM activities
    WHERE activity = 'carted' AND product IS NOT NULL AND $when
) AS carted
JOIN (
    SELECT contact_key, CAST(event_time AS BIGINT) AS moment FROM orders WHERE refund_of IS NULL AND $when
) AS ordered ON ordered.contact_key = carted.contact_key
WHERE ordered.moment BETWEEN carted.moment AND carted.moment + $week
GROUP BY carted.contact_key, carted.product
