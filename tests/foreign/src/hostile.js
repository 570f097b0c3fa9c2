// Takes the commands of an attacker, one as JSON on each line of its input: `join`, `attack`, `counts`.

import { createInterface } from 'node:readline'
import { Attacker, MEMBERS, STRANGERS } from './attacks.js'
import { Member } from './member.js'
import { fromBase32 } from './wire.js'

const member = new Member(process.argv[2])
const print = line => process.stdout.write(JSON.stringify(line) + '\n')
const began = { sent: 0, cut: 0, refused: 0 }
let attackers = []

const commands = {
  join: async ({ ticket, name }) => {
    await member.join(ticket, name)
    // What there is to know, as any member learns it; then no honest word any more.
    await member.connect()
    if (member.log.known.size === 0) await new Promise(resolve => member.once('op', resolve))
    await Promise.all(member.libp2p.getConnections().map(connection => connection.close().catch(() => {})))
    return {}
  },
  attack: ({ mode, targets }) => {
    const aimed = targets.map(target => ({ ...target, node: fromBase32(target.node), host: target.address.split('/')[2], port: Number(target.address.split('/')[4]) }))
    attackers = aimed.map(target => mode in STRANGERS ? { ...began } : new Attacker(member, target))
    attackers.forEach((attacker, i) => mode in STRANGERS ? STRANGERS[mode](attacker, aimed[i]) : attacker.run(mode))
    return {}
  },
  counts: () => Object.fromEntries(Object.keys(began).map(name => [name, attackers.reduce((sum, attacker) => sum + attacker[name], 0)])),
  modes: () => ({ members: Object.keys(MEMBERS), strangers: Object.keys(STRANGERS) })
}

process.on('uncaughtException', () => {})
process.on('unhandledRejection', () => {})
await member.start({ listen: [] })
await member.libp2p.handle('/meshsub/1.1.0', stream => stream.addEventListener('message', () => {}), { force: true, maxInboundStreams: 1000 })
print({ ready: true })
for await (const line of createInterface({ input: process.stdin })) {
  const { do: command, ...fields } = JSON.parse(line)
  try {
    print({ did: command, ...await commands[command](fields) })
  } catch (error) {
    print({ did: command, error: String(error.stack ?? error) })
  }
}
process.exit(0)
