-- One row per link followed by a person: machines' are left out.
--
-- like: clicks
SELECT * EXCEPT (machine) FROM clicks WHERE NOT machine
