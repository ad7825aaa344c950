-- One row per opening of a message by a person: machines' are left out.
--
-- like: opens
SELECT * EXCEPT (machine) FROM opens WHERE NOT machine
