-- language is zh
SELECT contacts.contact_key
FROM contacts
WHERE regexp_like(language, '^(zh)(-|$)', 'i')
