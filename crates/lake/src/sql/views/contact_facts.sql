-- One row per contact: who they are and how they met what was sent so far.
--
-- contact_key: The random key the lake knows the person by.
-- country: ISO 3166 alpha-2 country; null when the contact is not in contacts.
-- language: BCP 47 language tag.
-- time_zone: IANA time zone.
-- messages: How many messages were handed over for them.
-- last_message_at: When the newest was.
-- last_open_at: When they last opened one themselves.
-- last_click_at: When they last followed a link themselves.
-- usual_open_hour: The hour of the day, 0 to 23 in UTC, in which they opened most often; the earlier one of several.
-- orders: How many orders they placed; refunds are none.
-- first_order_at: When they placed the first.
-- last_order_at: When they placed the newest.
-- revenue_base_minor: What they paid in minor units of the base currency, less what was paid back.
-- unconverted_orders: Orders and refunds that are not in revenue_base_minor, because there was no rate for their currency.
-- unsubscribed: Whether they ever unsubscribed.
-- complained: Whether they ever complained.
--
-- Each table is summed up by contact on its own before the sums are put together, so that no table is multiplied by another
-- and a question about one contact reads that contact only.
SELECT
    contact_key,
    max(country) AS country,
    max(language) AS language,
    max(time_zone) AS time_zone,
    coalesce(max(messages), 0) AS messages,
    max(last_message_at) AS last_message_at,
    max(last_open_at) AS last_open_at,
    max(last_click_at) AS last_click_at,
    max(usual_open_hour) AS usual_open_hour,
    coalesce(max(orders), 0) AS orders,
    max(first_order_at) AS first_order_at,
    max(last_order_at) AS last_order_at,
    coalesce(max(revenue_base_minor), 0) AS revenue_base_minor,
    coalesce(max(unconverted_orders), 0) AS unconverted_orders,
    coalesce(max(unsubscribes), 0) > 0 AS unsubscribed,
    coalesce(max(complaints), 0) > 0 AS complained
FROM (
    SELECT contact_key, country, language, time_zone,
        NULL AS messages, NULL AS last_message_at, NULL AS last_open_at, NULL AS last_click_at, NULL AS usual_open_hour,
        NULL AS orders, NULL AS first_order_at, NULL AS last_order_at, NULL AS revenue_base_minor, NULL AS unconverted_orders,
        NULL AS unsubscribes, NULL AS complaints
    FROM contacts
    UNION ALL
    SELECT contact_key, NULL, NULL, NULL, count(*), max(event_time), NULL, NULL, NULL,
        NULL, NULL, NULL, NULL, NULL, NULL, NULL
    FROM messages GROUP BY contact_key
    UNION ALL
    SELECT contact_key, NULL, NULL, NULL, NULL, NULL, max(last_in_hour), NULL,
        first_value(hour ORDER BY opens DESC, hour), NULL, NULL, NULL, NULL, NULL, NULL, NULL
    FROM (
        SELECT contact_key, CAST(date_part('hour', event_time) AS BIGINT) AS hour,
            count(*) AS opens, max(event_time) AS last_in_hour
        FROM opens WHERE NOT machine GROUP BY contact_key, CAST(date_part('hour', event_time) AS BIGINT)
    ) AS hours
    GROUP BY contact_key
    UNION ALL
    SELECT contact_key, NULL, NULL, NULL, NULL, NULL, NULL, max(event_time), NULL,
        NULL, NULL, NULL, NULL, NULL, NULL, NULL
    FROM clicks WHERE NOT machine GROUP BY contact_key
    UNION ALL
    SELECT contact_key, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
        count(*) FILTER (WHERE refund_of IS NULL),
        min(event_time) FILTER (WHERE refund_of IS NULL), max(event_time) FILTER (WHERE refund_of IS NULL),
        sum(amount_base_minor), count(*) FILTER (WHERE amount_base_minor IS NULL), NULL, NULL
    FROM orders GROUP BY contact_key
    UNION ALL
    SELECT contact_key, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
        count(*) FILTER (WHERE feedback = 'unsubscribe'), count(*) FILTER (WHERE feedback = 'complaint')
    FROM feedback GROUP BY contact_key
) AS facts
GROUP BY contact_key
