// Three agents on two nodes play section 4 of the whitepaper through an official client. The one argument is a file with
// {"sdk": "v1" | "v2", "mode": "legacy" | "auto", "agents": [{"name", "node", "command", "args", "env", "cwd"} | {"name",
// "node", "url", "token"}]}. Prints what came of it as JSON.
import { readFileSync } from "node:fs";
import assert from "node:assert/strict";

const plan = JSON.parse(readFileSync(process.argv[2], "utf8"));

async function connect(agent) {
  const info = { name: "scenario", version: "1" };
  const headers = { Authorization: `Bearer ${agent.token}`, "Fedp2p-Agent": agent.name };
  const requestInit = { headers };
  const server = { command: agent.command, args: agent.args, env: agent.env, cwd: agent.cwd, stderr: "inherit" };
  if (plan.sdk === "v1") {
    const { Client } = await import("@modelcontextprotocol/sdk/client/index.js");
    const { StdioClientTransport } = await import("@modelcontextprotocol/sdk/client/stdio.js");
    const { StreamableHTTPClientTransport } = await import("@modelcontextprotocol/sdk/client/streamableHttp.js");
    const client = new Client(info);
    await client.connect(
      agent.url ? new StreamableHTTPClientTransport(new URL(agent.url), { requestInit }) : new StdioClientTransport(server),
    );
    return client;
  }
  const { Client, StreamableHTTPClientTransport } = await import("@modelcontextprotocol/client");
  const { StdioClientTransport } = await import("@modelcontextprotocol/client/stdio");
  const client = new Client(info, { versionNegotiation: { mode: plan.mode } });
  await client.connect(
    agent.url ? new StreamableHTTPClientTransport(new URL(agent.url), { requestInit }) : new StdioClientTransport(server),
  );
  return client;
}

async function eventually(what, look) {
  const end = Date.now() + 30_000;
  for (;;) {
    const found = await look();
    if (found) return found;
    assert.ok(Date.now() < end, `not in time: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

const clients = await Promise.all(plan.agents.map(connect));
const [taichi, baby, aorus] = clients.map((client) => async (name, args) => {
  const result = await client.callTool({ name, arguments: args });
  assert.ok(!result.isError, `${name}: ${JSON.stringify(result.content)}`);
  return result.structuredContent;
});
const tools = await Promise.all(clients.map(async (client) => (await client.listTools()).tools.map((tool) => tool.name)));
const [one, two, three] = plan.agents.map((agent) => `${agent.name}@${agent.node}`);

await taichi("federation_update_state", {
  summary: "Refactoring auth module",
  action: "EXECUTING",
  thinking: "Considering OAuth2 vs JWT tradeoffs",
  wondering: "Should we support refresh tokens?",
  offering: "Can help with crypto review when done",
});
await baby("federation_update_state", { action: "IDLE", offering: "Data analysis" });
await aorus("federation_update_state", { action: "WAITING", offering: "Systems optimization" });
await Promise.all(
  [taichi, baby, aorus].map((agent) =>
    eventually("everybody sees everybody", async () => {
      const rows = (await agent("federation_pulse", {})).agents;
      const said = Object.fromEntries(rows.map((row) => [row.agent, row]));
      return (
        said[one]?.thinking === "Considering OAuth2 vs JWT tradeoffs" &&
        said[two]?.action === "IDLE" &&
        said[three]?.offering === "Systems optimization"
      );
    }),
  ),
);

await taichi("federation_send", {
  content: "Please review auth-module.py for security issues",
  to: plan.agents[1].name,
  message_type: "task",
});
const inbox = await baby("federation_inbox", { wait_s: 20 });
assert.equal(inbox.messages[0].text, "Please review auth-module.py for security issues");
assert.deepEqual([inbox.messages[0].from, inbox.messages[0].verified, inbox.messages[0].type], [one, true, "task"]);
await baby("federation_inbox", { acknowledge: [inbox.messages[0].id] });

await taichi("federation_consensus_request", {
  question: "Which auth approach?",
  options: ["OAuth2", "JWT", "Custom"],
  mechanism: "poll",
  consensus_id: "auth-decision",
});
for (const [agent, response] of [[taichi, "OAuth2"], [baby, "OAuth2"], [aorus, "JWT"]]) {
  await eventually("the question is there", async () => {
    const open = (await agent("federation_consensus_results", {})).open;
    return open.some((question) => question.consensus_id === "auth-decision");
  });
  await agent("federation_consensus_respond", { consensus_id: "auth-decision", response });
}
const decided = await eventually("all votes are counted", async () => {
  const { winner, votes } = await aorus("federation_consensus_results", { consensus_id: "auth-decision" });
  return votes?.OAuth2 === 2 && votes?.JWT === 1 && { winner, votes };
});

const assigned = await taichi("federation_assign_role", {
  conversation_id: "lobby",
  agent: two,
  role: "analyst",
  subtask: "Profile memory allocation in auth module",
});
const claimed = await baby("federation_claim_task", {
  task_id: "memory-profile",
  description: "Running valgrind analysis",
  create: true,
});
assert.equal(claimed.task.holder, two);
await baby("federation_tasks", { action: "report", task_id: "memory-profile", state: "completed", result: "no leak" });
await eventually("the subtask is there", async () => {
  const { task } = await baby("federation_claim_task", {});
  return task?.task_id === assigned.task_id;
});
await aorus("federation_notes", { action: "append", name: "plan", text: "OAuth2 it is" });
const note = await eventually("the note is there", async () => {
  const { names } = await taichi("federation_notes", {});
  return names?.includes("plan") && (await taichi("federation_notes", { action: "read", name: "plan" }));
});
assert.equal(note.text.trim(), "OAuth2 it is");
const digest = await aorus("federation_digest", { tokens: 400 });
assert.ok(digest.quoted.length > 0 && digest.quoted.length <= 1600);

const resources = await clients[0].listResources();
const read = await clients[0].readResource({ uri: "federation://pulse" });
const prompts = await clients[0].listPrompts();
await Promise.all(clients.map((client) => client.close()));
console.log(
  JSON.stringify({
    tools: tools[0],
    decided,
    resources: resources.resources.map((resource) => resource.uri),
    pulse: JSON.parse(read.contents[0].text).agents.length,
    prompts: prompts.prompts.length,
  }),
);
