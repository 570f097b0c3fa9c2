// Set by "fedp2p setup"; "fedp2p setup opencode --remove" takes it out.
// Tells the model what concerns its agent in the fedp2p mesh. What peers wrote comes marked as data.
import { spawn } from "node:child_process"

const COMMAND = COMMAND_WORDS

// Runs the hook and returns what it has to say. Whatever happens, OpenCode goes on.
function ask(event, input) {
  return new Promise((resolve) => {
    const child = spawn(COMMAND[0], [...COMMAND.slice(1), event], {
      cwd: input.cwd,
      stdio: ["pipe", "pipe", "ignore"],
      timeout: 10000,
    })
    let text = ""
    child.stdout.on("data", (part) => (text += part))
    child.on("error", () => resolve(""))
    child.on("close", () => {
      try {
        resolve(JSON.parse(text).text ?? "")
      } catch {
        resolve("")
      }
    })
    child.stdin.on("error", () => {})
    child.stdin.end(JSON.stringify(input))
  })
}

export const Fedp2p = async ({ client, directory, worktree }) => {
  const cwd = worktree && worktree !== "/" ? worktree : directory
  // Sessions that other sessions have begun: what they are told would be lost.
  const inner = new Set()
  // Sessions that we have sent on, until a person writes again.
  const sent = new Set()
  const ours = new Set()

  async function idle(id) {
    const text = await ask("session.idle", { session_id: id, cwd, stop_hook_active: sent.has(id) })
    if (!text) return
    sent.add(id)
    ours.add(id)
    const body = { parts: [{ type: "text", text, synthetic: true }] }
    // Not waited for: it lasts as long as the model works.
    client.session.prompt({ path: { id }, body }).catch(() => ours.delete(id))
  }

  return {
    event: async ({ event }) => {
      const { info, sessionID } = event.properties ?? {}
      if (event.type === "session.created" && info?.parentID) inner.add(info.id)
      else if (event.type === "session.created") await ask("session.created", { session_id: info?.id, cwd })
      else if (event.type === "session.deleted" && !inner.delete(info?.id))
        await ask("session.deleted", { session_id: info?.id, cwd })
      else if (event.type === "session.idle" && !inner.has(sessionID)) await idle(sessionID)
    },
    "chat.message": async ({ sessionID }, output) => {
      if (inner.has(sessionID) || ours.delete(sessionID)) return
      sent.delete(sessionID)
      const first = output.parts.find((part) => part.type === "text")
      if (!first) return
      const text = await ask("chat.message", { session_id: sessionID, cwd })
      if (text) output.parts.push({ ...first, id: `${first.id}z`, text, synthetic: true })
    },
    "tool.execute.after": async ({ sessionID }, output) => {
      if (inner.has(sessionID) || typeof output.output !== "string") return
      const text = await ask("tool.execute.after", { session_id: sessionID, cwd })
      if (text) output.output += `\n\n${text}`
    },
  }
}
