-- has birthday today or within 6 days
-- is at least 18 years old
SELECT contacts.contact_key
FROM contacts
WHERE extract(month FROM birth_date) * 100 + extract(day FROM birth_date) BETWEEN 229 AND 307
    AND birth_date <= DATE '2008-03-01'
