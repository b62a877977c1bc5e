"""Django Channels as its documentation has it: a consumer for each client, all in one group, the
layer in memory, served by uvicorn. It publishes from inside, and speaks with the benchmark as the
other servers do: see plan.rs.
"""

import asyncio
import json
import sys
import time

import django
from django.conf import settings

settings.configure(
    SECRET_KEY="of no use here",
    ALLOWED_HOSTS=["*"],
    INSTALLED_APPS=["channels"],
    CHANNEL_LAYERS={"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}},
    LOGGING_CONFIG=None,
)
django.setup()

import uvicorn  # noqa: E402
from channels.generic.websocket import AsyncWebsocketConsumer  # noqa: E402
from channels.layers import get_channel_layer  # noqa: E402
from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402
from django.urls import path  # noqa: E402

GROUP = "updates"


class Consumer(AsyncWebsocketConsumer):
    async def connect(self):
        await self.channel_layer.group_add(GROUP, self.channel_name)
        await self.accept()

    async def disconnect(self, code):
        await self.channel_layer.group_discard(GROUP, self.channel_name)

    async def update(self, event):
        await self.send(text_data=event["text"])


def updates(plan):
    """Updates in the order in which they are due."""
    number, critical = 0, 0
    while True:
        normal_us = plan["start_us"] + number * plan["interval_us"]
        critical_us = plan["start_us"] + critical * plan["critical_interval_us"]
        is_last = number == plan["count"]
        if critical < plan["critical_count"] and (critical_us <= normal_us or is_last):
            critical += 1
            yield critical_us, plan["agents"] + critical % plan["agents"], "!"
        elif not is_last:
            yield normal_us, number % plan["agents"], "="
            number += 1
        else:
            return


def text(due, bytes_wanted):
    at_us, agent, mark = due
    value = {"at": f"@{mark}{at_us:016}", "pad": ""}
    update = {
        "source": f"agent-{agent:03}",
        "tag": "state",
        "timestamp": time.time_ns() // 1000,
        "value": value,
        "quality": "good",
        "priority": "critical" if mark == "!" else "normal",
    }
    encode = json.JSONEncoder(separators=(",", ":")).encode
    value["pad"] = "x" * (bytes_wanted - len(encode(update)))
    return encode(update)


async def publish(plan):
    layer = get_channel_layer()
    for due in updates(plan):
        wait_s = (due[0] - time.monotonic_ns() // 1000) / 1e6
        await asyncio.sleep(max(0.0, wait_s))
        message = {"type": "update", "text": text(due, plan["bytes"])}
        await layer.group_send(GROUP, message)


class Server(uvicorn.Server):
    async def startup(self, sockets=None):
        await super().startup(sockets=sockets)
        port = self.servers[0].sockets[0].getsockname()[1]
        print(json.dumps({"port": port}), flush=True)
        self.follower = asyncio.create_task(self.follow())

    async def follow(self):
        loop = asyncio.get_running_loop()
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            await publish(json.loads(line))
        self.should_exit = True


application = ProtocolTypeRouter({"websocket": URLRouter([path("ws", Consumer.as_asgi())])})
config = uvicorn.Config(application, port=0, log_level="error", backlog=1024, lifespan="off")
Server(config).run()
