-- One row per intended message, with what followed within seven days of the hour it was planned for.
--
-- experiment_id: The experiment; null for a message outside of experiments.
-- contact_key: For whom it was meant: contacts.contact_key.
-- variant: The variant they got first.
-- campaign_id: The campaign.
-- channel: email, sms, whatsapp, wechat or push.
-- market: ISO 3166 alpha-2 country.
-- planned_at: When the message was planned to leave; what follows counts from here for seven days.
-- message_id: The message that was sent; null when none was.
-- sent_at: When it was handed over; null when it was not.
-- accepted_at: When the next server took it.
-- delivered_at: When it arrived in the mailbox, as far as that was heard.
-- bounced: Whether it was refused or came back.
-- opened_at: When a person first opened it.
-- clicked_at: When a person first followed a link in it.
-- orders: How many orders the contact placed, whatever led to them; refunds are none.
-- revenue_base_minor: What they paid in minor units of the base currency, less what was paid back in that time.
-- unconverted_orders: Orders and refunds that are not in revenue_base_minor, because there was no rate for their currency.
-- unsubscribed: Whether they unsubscribed.
-- complained: Whether they complained.
--
-- In an experiment the unit is the intended recipient, as in readouts: a contact is one row from their first assignment,
-- whatever was sent later. What names the experiment counts, and what names none; what names another does not. Both are
-- joined apart, so that a question about one experiment reads of most tables the part that names it only. A readout with a
-- window of 168 hours gives the same sums.
--
-- Outside of experiments each message handed over is a row, and what followed are the events that name its message_id.
-- Orders count for both, and so for several messages when these are less than seven days apart.
WITH units AS (
    SELECT
        experiment_id, contact_key,
        first_value(variant ORDER BY event_time, received_at, event_id) AS variant,
        first_value(campaign_id ORDER BY event_time, received_at, event_id) AS campaign_id,
        first_value(channel ORDER BY event_time, received_at, event_id) AS channel,
        first_value(market ORDER BY event_time, received_at, event_id) AS market,
        first_value(coalesce(planned_at, event_time) ORDER BY event_time, received_at, event_id) AS begins
    FROM assignments
    WHERE experiment_id IS NOT NULL
    GROUP BY experiment_id, contact_key
),
events AS (
    SELECT contact_key, experiment_id, message_id, event_time, 'sent' AS what FROM messages
    UNION ALL
    SELECT contact_key, experiment_id, message_id, event_time,
        CASE status WHEN 'refused' THEN 'bounced' ELSE status END
    FROM deliveries WHERE status IN ('accepted', 'delivered', 'refused', 'bounced')
    UNION ALL
    SELECT contact_key, experiment_id, message_id, event_time, 'opened' FROM opens WHERE NOT machine
    UNION ALL
    SELECT contact_key, experiment_id, message_id, event_time, 'clicked' FROM clicks WHERE NOT machine
    UNION ALL
    SELECT contact_key, experiment_id, message_id, event_time, feedback
    FROM feedback WHERE feedback IN ('unsubscribe', 'complaint')
),
followed AS (
    SELECT experiment_id, contact_key, variant, campaign_id, channel, market, begins,
        CAST(NULL AS TEXT) AS message_id, begins AS event_time, 'planned' AS what, CAST(NULL AS BIGINT) AS amount_base_minor
    FROM units
    UNION ALL
    SELECT units.experiment_id, units.contact_key, NULL, NULL, NULL, NULL, NULL,
        events.message_id, events.event_time, events.what, NULL
    FROM units JOIN events
        ON events.experiment_id = units.experiment_id
        AND events.contact_key = units.contact_key
        AND events.event_time >= units.begins
        AND events.event_time < units.begins + INTERVAL '7 days'
    UNION ALL
    SELECT units.experiment_id, units.contact_key, NULL, NULL, NULL, NULL, NULL,
        others.message_id, others.event_time, others.what, others.amount_base_minor
    FROM units JOIN (
        SELECT contact_key, message_id, event_time, what, CAST(NULL AS BIGINT) AS amount_base_minor
        FROM events WHERE experiment_id IS NULL
        UNION ALL
        SELECT contact_key, NULL, event_time,
            CASE WHEN refund_of IS NULL THEN 'ordered' ELSE 'refunded' END, amount_base_minor
        FROM orders
    ) AS others
        ON others.contact_key = units.contact_key
        AND others.event_time >= units.begins
        AND others.event_time < units.begins + INTERVAL '7 days'
),
plain AS (
    SELECT event_id, contact_key, variant, campaign_id, channel, market, message_id, event_time AS begins
    FROM messages WHERE experiment_id IS NULL
),
plain_followed AS (
    SELECT event_id, contact_key, variant, campaign_id, channel, market, begins,
        message_id, begins AS event_time, 'sent' AS what, CAST(NULL AS BIGINT) AS amount_base_minor
    FROM plain
    UNION ALL
    SELECT plain.event_id, plain.contact_key, NULL, NULL, NULL, NULL, NULL, NULL, events.event_time, events.what, NULL
    FROM plain JOIN events
        ON events.message_id = plain.message_id
        AND events.event_time >= plain.begins
        AND events.event_time < plain.begins + INTERVAL '7 days'
    WHERE events.what <> 'sent'
    UNION ALL
    SELECT plain.event_id, plain.contact_key, NULL, NULL, NULL, NULL, NULL, NULL, orders.event_time,
        CASE WHEN orders.refund_of IS NULL THEN 'ordered' ELSE 'refunded' END, orders.amount_base_minor
    FROM plain JOIN orders
        ON orders.contact_key = plain.contact_key
        AND orders.event_time >= plain.begins
        AND orders.event_time < plain.begins + INTERVAL '7 days'
)
SELECT
    experiment_id, contact_key,
    max(variant) AS variant,
    max(campaign_id) AS campaign_id,
    max(channel) AS channel,
    max(market) AS market,
    max(begins) AS planned_at,
    first_value(message_id ORDER BY event_time, message_id) FILTER (WHERE what = 'sent') AS message_id,
    min(event_time) FILTER (WHERE what = 'sent') AS sent_at,
    min(event_time) FILTER (WHERE what = 'accepted') AS accepted_at,
    min(event_time) FILTER (WHERE what = 'delivered') AS delivered_at,
    count(*) FILTER (WHERE what = 'bounced') > 0 AS bounced,
    min(event_time) FILTER (WHERE what = 'opened') AS opened_at,
    min(event_time) FILTER (WHERE what = 'clicked') AS clicked_at,
    count(*) FILTER (WHERE what = 'ordered') AS orders,
    coalesce(sum(amount_base_minor), 0) AS revenue_base_minor,
    count(*) FILTER (WHERE what IN ('ordered', 'refunded') AND amount_base_minor IS NULL) AS unconverted_orders,
    count(*) FILTER (WHERE what = 'unsubscribe') > 0 AS unsubscribed,
    count(*) FILTER (WHERE what = 'complaint') > 0 AS complained
FROM followed
GROUP BY experiment_id, contact_key
UNION ALL
SELECT
    CAST(NULL AS TEXT), contact_key,
    max(variant), max(campaign_id), max(channel), max(market), max(begins),
    max(message_id),
    min(event_time) FILTER (WHERE what = 'sent'),
    min(event_time) FILTER (WHERE what = 'accepted'),
    min(event_time) FILTER (WHERE what = 'delivered'),
    count(*) FILTER (WHERE what = 'bounced') > 0,
    min(event_time) FILTER (WHERE what = 'opened'),
    min(event_time) FILTER (WHERE what = 'clicked'),
    count(*) FILTER (WHERE what = 'ordered'),
    coalesce(sum(amount_base_minor), 0),
    count(*) FILTER (WHERE what IN ('ordered', 'refunded') AND amount_base_minor IS NULL),
    count(*) FILTER (WHERE what = 'unsubscribe') > 0,
    count(*) FILTER (WHERE what = 'complaint') > 0
FROM plain_followed
GROUP BY event_id, contact_key
