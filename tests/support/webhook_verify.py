"""Verifies a webhook with Standard Webhooks' own library: reads the secret, the headers and the body as lines of JSON from standard input and
prints the type of the event."""

import json
import sys

from standardwebhooks.webhooks import Webhook

secret, headers, body = (json.loads(line) for line in sys.stdin)
# The age of the timestamp is verified too.
print(Webhook(secret).verify(body, headers)["type"])
