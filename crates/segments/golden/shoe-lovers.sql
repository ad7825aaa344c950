-- interested in shoes or boots
-- not (tagged staff or b2b)
SELECT contacts.contact_key
FROM contacts
WHERE array_has_any(interests, make_array('shoes', 'boots'))
    AND (array_has_any(tags, make_array('staff', 'b2b'))) IS NOT TRUE
