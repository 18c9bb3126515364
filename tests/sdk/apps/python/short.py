"""An app that is restarted: only the functions that are interrupted."""

import fastapi
import inngest.fast_api
from client import FUNCTIONS, client

__import__("durable")
app = fastapi.FastAPI()
inngest.fast_api.serve(app, client, FUNCTIONS)
