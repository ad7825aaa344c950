-- One row per link of a campaign's messages that was followed: how often, and by how many.
--
-- campaign_id: The campaign; null for messages of none.
-- variant: The variant of the message.
-- position: The link's place among the tracked links of its part of the message: 1 is the first. Null where nobody said it.
-- url: Where the link led.
-- clicks: How many times people followed it.
-- contacts: How many different people did. Rows must not be added up: who follows two links is in both.
-- suspect_clicks: How many times somebody followed it who may have been a machine.
-- machine_clicks: How many times machines did.
--
-- Who is a machine is told by graded_clicks. The link that no person sees is left out.
--
-- One place can lead to several addresses, where a message shows its reader their own products or is written in several languages;
-- one address can have several places. So both are told, and either can be summed up.
SELECT
    campaign_id, variant, position, url,
    count(*) FILTER (WHERE grade = 'human') AS clicks,
    count(DISTINCT CASE WHEN grade = 'human' THEN contact_key END) AS contacts,
    count(*) FILTER (WHERE grade = 'suspect') AS suspect_clicks,
    count(*) FILTER (WHERE grade = 'machine') AS machine_clicks
FROM graded_clicks
WHERE url IS DISTINCT FROM 'trap:'
GROUP BY campaign_id, variant, position, url
