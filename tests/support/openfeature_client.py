"""Asks the flag FLAG for the contact TARGET in MARKET with OpenFeature's own client and prints what it resolved to as one line of JSON."""

import json
import sys

from openfeature import api
from openfeature.contrib.provider.ofrep import OFREPProvider
from openfeature.evaluation_context import EvaluationContext

url, key, flag, target, market = sys.argv[1:]
api.set_provider(OFREPProvider(url, headers_factory=lambda: {"X-API-Key": key}))
context = EvaluationContext(targeting_key=target, attributes={"market": market})
details = api.get_client().get_string_details(flag, "the code's own", context)
print(json.dumps({
    "value": details.value,
    "variant": details.variant,
    "reason": details.reason,
    "error": details.error_code and str(details.error_code.value),
    "metadata": dict(details.flag_metadata),
}))
