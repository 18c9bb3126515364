"""The Python app of the tests: everything the SDK can do, one function for each case. Served by FastAPI and uvicorn."""

import fastapi
import inngest.fast_api
from client import FUNCTIONS, client

for module in ("steps", "waits", "failures", "parallel", "limits"):
    __import__(module)

app = fastapi.FastAPI()
inngest.fast_api.serve(app, client, FUNCTIONS)
