-- country is DE, AT or CH
SELECT contacts.contact_key
FROM contacts
WHERE country IN ('DE', 'AT', 'CH')
