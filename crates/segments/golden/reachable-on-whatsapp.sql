-- reachable on whatsapp
SELECT contacts.contact_key
FROM contacts
WHERE array_has(channels, 'whatsapp')
