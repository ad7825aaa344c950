"""An SMTP server that is not ours (aiosmtpd), to count at the other end what Sendlab hands over.

Usage: smtp_server.py FILE. Prints its port, then appends one JSON line to FILE for each message it takes.
"""

import asyncio
import email
import email.policy
import json
import sys

from aiosmtpd.smtp import SMTP


class Recorder:
    """Writes down each message before it is acknowledged."""

    def __init__(self, path):
        self.file = open(path, "a", encoding="utf-8")

    async def handle_DATA(self, server, session, envelope):
        mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
        body = mail.get_body(("html",))
        line = {
            "to": envelope.rcpt_tos,
            "from": envelope.mail_from,
            "subject": mail["Subject"],
            "message_id": mail["Message-ID"],
            "unsubscribe": mail["List-Unsubscribe"],
            "one_click": mail["List-Unsubscribe-Post"],
            "html": body.get_content() if body else None,
        }
        self.file.write(json.dumps(line) + "\n")
        self.file.flush()
        return "250 2.0.0 taken"


async def main():
    recorder = Recorder(sys.argv[1])
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(recorder, enable_SMTPUTF8=True), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(main())
