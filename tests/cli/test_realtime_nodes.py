"""Messages between nodes as they are run. Goal: who listens at one node hears what is published at the other."""

from __future__ import annotations

import asyncio
import uuid
from pathlib import Path

import aiohttp
import pytest

from tests.cli.served import Served

KEY = "signkey-prod-" + "5a" * 32
TOPIC = [{"channel": "user:7", "name": "chat", "kind": "run"}]


@pytest.mark.kafka
@pytest.mark.slow
def test_a_message_is_heard_at_every_node(kafka_bootstrap: str, tmp_path: Path) -> None:
    common = ["start", "--kafka", kafka_bootstrap, "--prefix", f"peers-{uuid.uuid4().hex[:8]}", "--partitions", "2"]
    folders = [tmp_path / name for name in ("a", "b")]
    for folder in folders:
        folder.mkdir()

    async def play(here: str, there: str) -> None:
        headers = {"authorization": f"Bearer {KEY}"}
        async with aiohttp.ClientSession() as client:
            async with client.post(f"{here}/v1/realtime/token", json=TOPIC, headers=headers) as answer:
                assert answer.status == 201
                token = (await answer.json())["jwt"]
            url = f"{there}/v1/realtime/connect"  # the other node takes the token as well: they share a key
            async with client.ws_connect(url, params={"token": token}) as socket:
                await socket.send_json({"kind": "ping"})
                assert (await socket.receive_json(timeout=30))["kind"] == "pong"
                heard = asyncio.create_task(socket.receive_json(timeout=60))
                sent = 0
                while not heard.done():  # the nodes find each other a moment after they are ready
                    sent += 1
                    query = {"channel": "user:7", "topic": "chat"}
                    async with client.post(f"{here}/v1/realtime/publish", json=sent, params=query, headers=headers):
                        pass
                    await asyncio.wait({heard}, timeout=0.1)
                message = heard.result()
                assert (message["kind"], message["channel"], message["topic"]) == ("data", "user:7", "chat")
                assert 1 <= message["data"] <= sent

    with (
        Served(folders[0], *common, "--data-dir", "data", HEADRACE_SIGNING_KEY=KEY) as one,
        Served(folders[1], *common, "--data-dir", "data", HEADRACE_SIGNING_KEY=KEY) as two,
    ):
        one.until_ready()
        two.until_ready()
        asyncio.run(play(one.url, two.url))
        asyncio.run(play(two.url, one.url))
