-- Whose values in an experiment may be others by what came in, which is all the tables hold here: contacts that were assigned, and
-- contacts of whom something was told that happened `$within` the time in which outcomes of known units count.
SELECT DISTINCT contact_key
FROM (
    SELECT contact_key FROM assignments WHERE experiment_id = $experiment
    UNION ALL
    SELECT contact_key FROM messages WHERE (experiment_id = $experiment OR experiment_id IS NULL) AND $within
    UNION ALL
    SELECT contact_key FROM deliveries WHERE (experiment_id = $experiment OR experiment_id IS NULL) AND $within
    UNION ALL
    SELECT contact_key FROM opens WHERE (experiment_id = $experiment OR experiment_id IS NULL) AND $within
    UNION ALL
    SELECT contact_key FROM clicks WHERE (experiment_id = $experiment OR experiment_id IS NULL) AND $within
    UNION ALL
    SELECT contact_key FROM orders WHERE $within
    UNION ALL
    SELECT contact_key FROM feedback WHERE (experiment_id = $experiment OR experiment_id IS NULL) AND $within
)
LIMIT $limit
