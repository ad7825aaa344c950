-- Whose values in an experiment may be others by what came in, which is all the tables hold here: contacts that were assigned, and
-- contacts of whom something was told that happened `$within` the time in which outcomes of known units count.
SELECT DISTINCT contact_key
FROM (
    SELECT contact_key FROM assignments WHERE experiment_id = $experiment
    UNION ALL
    SELECT contact_key FROM messages WHERE $ours AND $within
    UNION ALL
    SELECT contact_key FROM deliveries WHERE $ours AND $within
    UNION ALL
    SELECT contact_key FROM opens WHERE $ours AND $within
    UNION ALL
    SELECT contact_key FROM clicks WHERE $ours AND $within
    UNION ALL
    SELECT contact_key FROM orders WHERE $within
    UNION ALL
    SELECT contact_key FROM feedback WHERE $ours AND $within
)
LIMIT $limit
