"""The official Python client of one agent, over a pipe or HTTP."""

import httpx2
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from mcp_types import Implementation


def client(agent, mode, **options):
    if "url" in agent:
        headers = {"Authorization": f"Bearer {agent['token']}", "Fedp2p-Agent": agent["name"]}
        http = httpx2.AsyncClient(headers=headers, timeout=60)
        server = streamable_http_client(agent["url"], http_client=http)
    else:
        server = StdioServerParameters(command=agent["command"], args=agent["args"], env=agent["env"], cwd=agent["cwd"])
    return Client(server, mode=mode, client_info=Implementation(name="scenario", version="1"), **options)
