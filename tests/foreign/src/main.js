// The program: takes one command as JSON on each line of its input, prints one line of JSON for each and for each op
// that comes. `node --import ./src/polyfill.js src/main.js FOLDER`

import { createInterface } from 'node:readline'
import { KIND } from './forms.js'
import { Picture, everybody } from './document.js'
import { verify } from './log.js'
import { Member } from './member.js'
import { base32, hex } from './wire.js'

const member = new Member(process.argv[2])
const print = line => process.stdout.write(JSON.stringify(line, (_, value) => typeof value === 'bigint' ? Number(value) : value) + '\n')
const published = (op, how) => { member.publish(op, how); return { id: base32(op.id), seq: op.seq } }
const json = (kind, agent, value, how) =>
  published(member.log.append(kind, Buffer.concat([Uint8Array.of(0), Buffer.from(JSON.stringify(value))]), agent), how)
const session = () => member.sessions.values().next().value

const commands = {
  join: async ({ ticket, name }) => { await member.join(ticket, name); return commands.status() },
  connect: async ({ addresses }) => { await member.connect(addresses); return {} },
  disconnect: async () => {
    await Promise.all(member.libp2p.getConnections().map(connection => connection.close().catch(() => {})))
    return {}
  },
  send: ({ agent, how, ...message }) => json(KIND.message, agent, { type: 'chat', ...message }, how),
  receipt: ({ agent, ...receipt }) => json(KIND.receipt, agent, receipt),
  register: ({ agent, kind }) => published(new Picture(member.log).register(agent, kind)),
  pulse: ({ agent, ...fields }) => published(new Picture(member.log).pulse(agent, fields)),
  renew: async () => {
    const came = new Promise(resolve => member.once('renewed', resolve))
    session().renew()
    await came
    return {}
  },
  history: () => ({ messages: member.log.messages().map(message => ({ ...message, id: base32(message.id) })) }),
  picture: () => ({ nodes: everybody(member.log) }),
  verify: () => ({ checked: verify(member.log) }),
  status: () => ({
    node: base32(member.key.node),
    name: member.log.members.get(hex(member.key.node)).name,
    ops: member.log.known.size,
    own: member.log.entries(member.key.node, member.log.own).length,
    digest: hex(member.log.digest()),
    agrees: session()?.agrees ?? false,
    connected: session() !== undefined,
    log: base32(member.log.own),
    reached: session()?.reached ?? 0n,
    pongs: session()?.pongs ?? 0,
    gossiped: member.gossiped ?? 0
  })
}

await member.start()
member.on('op', op => print({ op: base32(op.id), author: base32(op.author), log: base32(op.log), seq: op.seq }))
member.on('trouble', error => print({ trouble: String(error.stack ?? error) }))
print({ ready: base32(member.key.node) })
for await (const line of createInterface({ input: process.stdin })) {
  const { do: command, ...fields } = JSON.parse(line)
  try {
    print({ did: command, ...await commands[command](fields) })
  } catch (error) {
    print({ did: command, error: String(error.stack ?? error) })
  }
}
await member.stop()
process.exit(0)
