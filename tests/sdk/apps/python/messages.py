"""Publishes a message, or gets a listener's token, as an app does: `messages.py publish|token CHANNEL TOPIC [JSON]`."""

import json
import os
import sys

import inngest
from inngest.experimental import realtime

client = inngest.Inngest(app_id="messages", is_production=False, api_base_url=os.environ["INNGEST_DEV"])
verb, channel, topic, *data = sys.argv[1:]
if verb == "token":
    print(realtime.get_subscription_token_sync(client, channel, [topic])["key"])
else:
    realtime.publish_sync(client, channel, topic, json.loads(data[0]))
