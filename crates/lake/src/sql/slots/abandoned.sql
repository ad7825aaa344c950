-- The products that contacts put in the cart and ordered nothing since, the last first. `$when` is the time that is looked at.
-- Orders do not say what was ordered, so an order empties the cart.
SELECT carted.contact_key, carted.product, - carted.moment AS position
FROM (
    SELECT contact_key, product, CAST(max(event_time) AS BIGINT) AS moment
    FROM activities
    WHERE activity = 'carted' AND product IS NOT NULL AND $when
    GROUP BY contact_key, product
) AS carted
LEFT JOIN (
    SELECT contact_key, CAST(max(event_time) AS BIGINT) AS moment FROM orders WHERE refund_of IS NULL AND $when GROUP BY contact_key
) AS ordered ON ordered.contact_key = carted.contact_key
WHERE ordered.moment IS NULL OR ordered.moment < carted.moment
