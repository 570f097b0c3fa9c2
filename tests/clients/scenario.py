"""Three agents on two nodes play section 4 of the whitepaper through the official Python client.

The one argument is a file as for scenario.mjs. Prints what came of it as JSON.
"""

import asyncio
import json
import sys
from contextlib import AsyncExitStack

from connect import client

with open(sys.argv[1]) as file:
    PLAN = json.load(file)


async def eventually(what, look):
    for _ in range(1500):
        found = await look()
        if found:
            return found
        await asyncio.sleep(0.02)
    raise AssertionError(f"not in time: {what}")


def caller(session):
    async def call(name, **arguments):
        result = await session.call_tool(name, arguments)
        assert not result.is_error, f"{name}: {result.content}"
        return result.structured_content

    return call


async def main():
    async with AsyncExitStack() as stack:
        sessions = [await stack.enter_async_context(client(agent, PLAN["mode"])) for agent in PLAN["agents"]]
        taichi, baby, aorus = [caller(session) for session in sessions]
        one, two, three = [f"{agent['name']}@{agent['node']}" for agent in PLAN["agents"]]
        tools = [tool.name for tool in (await sessions[0].list_tools()).tools]

        await taichi(
            "federation_update_state",
            summary="Refactoring auth module",
            action="EXECUTING",
            thinking="Considering OAuth2 vs JWT tradeoffs",
            wondering="Should we support refresh tokens?",
            offering="Can help with crypto review when done",
        )
        await baby("federation_update_state", action="IDLE", offering="Data analysis")
        await aorus("federation_update_state", action="WAITING", offering="Systems optimization")
        for agent in (taichi, baby, aorus):

            async def seen():
                rows = {row["agent"]: row for row in (await agent("federation_pulse"))["agents"]}
                return (
                    rows.get(one, {}).get("thinking") == "Considering OAuth2 vs JWT tradeoffs"
                    and rows.get(two, {}).get("action") == "IDLE"
                    and rows.get(three, {}).get("offering") == "Systems optimization"
                )

            await eventually("everybody sees everybody", seen)

        text = "Please review auth-module.py for security issues"
        await taichi("federation_send", content=text, to=PLAN["agents"][1]["name"], message_type="task")
        message = (await baby("federation_inbox", wait_s=20))["messages"][0]
        assert (message["text"], message["from"], message["verified"], message["type"]) == (text, one, True, "task")

        await taichi(
            "federation_consensus_request",
            question="Which auth approach?",
            options=["OAuth2", "JWT", "Custom"],
            mechanism="poll",
            consensus_id="auth-decision",
        )
        for agent, response in ((taichi, "OAuth2"), (baby, "OAuth2"), (aorus, "JWT")):

            async def asked():
                questions = (await agent("federation_consensus_results"))["open"]
                return any(question["consensus_id"] == "auth-decision" for question in questions)

            await eventually("the question is there", asked)
            await agent("federation_consensus_respond", consensus_id="auth-decision", response=response)

        async def counted():
            stand = await aorus("federation_consensus_results", consensus_id="auth-decision")
            result = {"winner": stand.get("winner"), "votes": stand.get("votes")}
            return result if result["votes"] == {"OAuth2": 2, "JWT": 1} else None

        decided = await eventually("all votes are counted", counted)

        subtask = "Profile memory allocation in auth module"
        assigned = await taichi(
            "federation_assign_role", conversation_id="lobby", agent=two, role="analyst", subtask=subtask
        )
        description = "Running valgrind analysis"
        claimed = await baby("federation_claim_task", task_id="memory-profile", description=description, create=True)
        assert claimed["task"]["holder"] == two, claimed
        await baby("federation_tasks", action="report", task_id="memory-profile", state="completed", result="no leak")

        async def next_task():
            task = (await baby("federation_claim_task")).get("task")
            return task and task["task_id"] == assigned["task_id"]

        await eventually("the subtask is there", next_task)
        resources = [str(resource.uri) for resource in (await sessions[0].list_resources()).resources]
        read = await sessions[0].read_resource("federation://pulse")
        prompts = await sessions[0].list_prompts()
        print(
            json.dumps(
                {
                    "tools": tools,
                    "decided": decided,
                    "resources": resources,
                    "pulse": len(json.loads(read.contents[0].text)["agents"]),
                    "prompts": len(prompts.prompts),
                }
            )
        )


asyncio.run(main())
