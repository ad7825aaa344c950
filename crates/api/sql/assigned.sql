-- How many contacts were assigned a variant, by experiment: the size shown in the list of experiments.
SELECT experiment_id, count(DISTINCT contact_key) AS assigned
FROM assignments
WHERE experiment_id IS NOT NULL
GROUP BY experiment_id
