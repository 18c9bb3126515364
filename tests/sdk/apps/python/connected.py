"""A worker that needs no port: it connects to the engine and is given its calls over that connection."""

import asyncio
import os

from client import FUNCTIONS, client
from inngest.connect import connect

__import__("durable")
asyncio.run(connect([(client, FUNCTIONS)], instance_id=os.environ["WORKER"]).start())
