"""An agent asks for sign-offs through the official Python client, whose person answers in a browser or declines.

The one argument is a file with {"mode": "legacy" | "auto", "agent": as for scenario.mjs, "forms": [[[field, value], ...],
...]}: for each form, one question is put; an empty form declines. Prints what came of each as JSON.
"""

import asyncio
import json
import sys
import urllib.error
import urllib.parse
import urllib.request

from connect import client
from mcp_types import ElicitResult

with open(sys.argv[1]) as file:
    PLAN = json.load(file)


def post(url, form):
    origin = "http://" + urllib.parse.urlsplit(url).netloc
    body = urllib.parse.urlencode([tuple(field) for field in form]).encode()
    request = urllib.request.Request(url, data=body, headers={"Origin": origin})
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


async def main():
    asked = []
    form = []

    async def elicit(context, params):
        asked.append({"mode": params.mode, "message": params.message})
        if not form:
            return ElicitResult(action="decline")
        asked[-1]["status"] = await asyncio.to_thread(post, params.url, form)
        return ElicitResult(action="accept" if asked[-1]["status"] == 200 else "cancel")

    async with client(PLAN["agent"], PLAN["mode"], elicitation_callback=elicit) as session:
        answers = []
        for number, form in enumerate(PLAN["forms"]):
            question = {"question": "Delete it?", "mechanism": "signoff", "consensus_id": f"wipe-{number}"}
            result = await session.call_tool("federation_consensus_request", question)
            assert not result.is_error, result.content
            answers.append(result.structured_content)
        print(json.dumps({"asked": asked, "answers": answers}))


asyncio.run(main())
