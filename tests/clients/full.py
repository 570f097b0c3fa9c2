"""An agent calls every tool of the full profile through the official Python client, which looks whether each answer is as its
schema says.

The one argument is a file with {"command", "args", "env", "cwd"}. Prints the names of the tools that were called as JSON.
"""

import asyncio
import json
import sys

from mcp import Client, StdioServerParameters

with open(sys.argv[1]) as file:
    SERVER = json.load(file)


async def main():
    async with Client(StdioServerParameters(**SERVER)) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert all(tool.output_schema for tool in tools.values())
        called = set()

        async def call(name, /, **arguments):
            name = f"federation_{name}"
            result = await client.call_tool(name, arguments)
            assert not result.is_error, f"{name}: {result.content}"
            assert set(result.structured_content) <= {*tools[name].output_schema["properties"], "notice"}, name
            called.add(name)
            return result.structured_content

        me = (await call("pulse"))["you"]
        await call("update_state", action="WORKING", summary="trying everything")
        sent = await call("send", content="x" * 20_000, data={"nothing": None})
        shown = (await call("history"))["messages"][-1]
        assert len(shown["text"]) < 20_000 and shown["data"] == {"nothing": None}
        await call("inbox")
        await call("digest")
        for name in ("status", "peers", "agents", "log_verify", "role_list", "claim_list", "note_list", "task_list"):
            await call(name)
        await call("attention_set", mode="focus")

        await call("consensus_request", question="Which?", options=["a", "b"], consensus_id="which")
        await call("vote_ack", id="which")
        await call("consensus_respond", consensus_id="which", response="a")
        await call("consensus_results")
        await call("vote_show", id="which")
        await call("vote_list", all=True)
        await call("approval_ask", question="May I?", id="may")
        assert (await call("vote_close", id="which"))["winner"] == "a"
        await call("vote_close", id="may", withdraw=True)

        await call("assign_role", agent=me, role="tester", subtask="test it")
        await call("role_assign", agent=me, role="builder")
        await call("role_remove", agent=me, role="builder")

        await call("notes", action="append", name="plan", text="one")
        first = (await call("note_history", name="plan"))["edits"][0]["version"]
        await call("note_append", name="plan", text="two " * 5_000)
        await call("note_edit", name="plan", replace="one", **{"with": "three"})
        shown = await call("note_show", name="plan")
        rest = await call("note_show", name="plan", read_on=shown["read_on"][0])
        assert rest["part"].startswith("two") or " two" in rest["part"]
        await call("note_restore", name="plan", version=first)

        claim = (await call("claim_take", repository="app", files=["src/**"], why="to try"))["id"]
        await call("claim_check", repository="app", paths=["src/a.rs"])
        await call("claim_renew", claims=[claim])
        await call("claim_release", claims=[claim])

        await call("tasks")
        await call("task_new", title="Build", id="build", text="all of it", data={"n": None})
        await call("task_edit", id="build", priority="high")
        await call("claim_task", task_id="build")
        await call("task_update", id="build", state="working", note="half")
        await call("task_show", id="build")
        await call("task_new", title="Offered", id="offered", offer={})
        await call("task_bid", id="offered", cost=1)
        await call("task_award", id="offered")
        await call("task_cancel", id="offered", reason="not needed")
        print(json.dumps({"called": sorted(called), "not_called": sorted(set(tools) - called), "sent": sent["id"]}))


asyncio.run(main())
