// Every op that this member holds: checked, in an order in which deps come first, and on the disk before anything is
// said about it. From protocols/SPEC.md, "Op" and "Sync".

import { appendFileSync, existsSync, readFileSync } from 'node:fs'
import { KIND, derive, logOf, makeOp, networkOf, lobbyOf, readChain, readOp } from './forms.js'
import { Reader, Writer, hex, same } from './wire.js'

const ZERO = Buffer.alloc(32)
const MAX_WAITING = 256
const MAX_FUTURE_MS = 120_000n

export class Log {
  logs = new Map() // author and log -> its entries
  known = new Map() // id -> op
  waiting = new Map() // id -> op whose predecessor or dep is missing
  members = new Map() // node -> certificate
  taken = new Set() // heads that the next own entry depends on
  clock = 0n

  constructor (path, key, organisation, chain, epoch) {
    this.path = path
    this.key = key
    this.organisation = organisation
    this.chain = chain
    this.network = networkOf(organisation)
    this.lobby = lobbyOf(this.network)
    this.own = logOf(epoch, this.lobby)
    this.name(key.node, chain)
    if (existsSync(path)) {
      const reader = new Reader(readFileSync(path))
      while (reader.at < reader.bytes.length) this.place(readOp(reader.bytes_()))
    }
  }

  name (node, chain) {
    const certificate = readChain(chain, this.organisation)
    if (!same(certificate.subject, node)) throw new Error('a certificate of another node')
    const before = this.members.get(hex(node))
    if (before === undefined || before.notAfter < certificate.notAfter) this.members.set(hex(node), certificate)
  }

  entries (author, log) { return this.logs.get(hex(author) + hex(log)) ?? [] }

  // Whether an op can be taken now: 'yes', 'known' or 'wait'. One that can never be is an error.
  judge (op) {
    if (!same(op.network, this.network) || !same(op.conversation, this.lobby)) throw new Error('an op of another network')
    if (this.known.has(hex(op.id))) return 'known'
    if ((op.hlc >> 16n) > BigInt(Date.now()) + MAX_FUTURE_MS) throw new Error('an op of the future')
    const entries = this.entries(op.author, op.log)
    if (op.seq > BigInt(entries.length) + 1n) return 'wait'
    if (op.seq <= BigInt(entries.length)) throw new Error('a fork')
    if ((op.seq === 1n) !== (op.kind === KIND.start)) throw new Error('a log begins with its start, once')
    const before = entries.at(-1)
    if (!same(op.backlink, before?.id ?? ZERO)) throw new Error('a broken chain')
    if (before !== undefined && op.hlc <= before.hlc) throw new Error('a clock that runs backwards')
    const deps = op.deps.map(dep => this.known.get(hex(dep)))
    if (deps.includes(undefined)) return 'wait'
    if (deps.some(dep => dep.hlc > op.hlc)) throw new Error('a clock before that of a dep')
    return 'yes'
  }

  // Takes an op that was judged good.
  place (op) {
    if (op.kind === KIND.start) this.name(op.author, new Reader(op.payload.subarray(1)).bytes_())
    if (op.kind === KIND.certificate) this.name(op.author, op.payload.subarray(1))
    if (!this.members.has(hex(op.author))) throw new Error('an op of a stranger')
    const key = hex(op.author) + hex(op.log)
    if (!this.logs.has(key)) this.logs.set(key, [])
    this.logs.get(key).push(op)
    this.known.set(hex(op.id), op)
    if (op.hlc > this.clock) this.clock = op.hlc
    if (!same(op.author, this.key.node)) this.taken.add(key)
  }

  // Takes others' ops; those that wait for what is missing are kept for a while. Returns what is new, and whether
  // anything waits.
  take (bytes) {
    const fresh = []
    const queue = bytes.map(readOp)
    while (queue.length > 0) {
      const op = queue.shift()
      const verdict = this.judge(op)
      if (verdict === 'wait') {
        this.waiting.set(hex(op.id), op)
        if (this.waiting.size > MAX_WAITING) this.waiting.delete(this.waiting.keys().next().value)
      } else if (verdict === 'yes') {
        appendFileSync(this.path, new Writer().bytes(op.bytes).done())
        this.place(op)
        this.waiting.delete(hex(op.id))
        fresh.push(op)
        queue.push(...[...this.waiting.values()].filter(other => this.judge(other) === 'yes'))
      }
    }
    return { fresh, gap: this.waiting.size > 0 }
  }

  // Writes an own entry.
  append (kind, payload, agent = '') {
    const entries = this.entries(this.key.node, this.own)
    if (entries.length === 0 && kind !== KIND.start) {
      this.append(KIND.start, new Writer().u8(0).bytes(this.chain).flag(false).done())
      return this.append(kind, payload, agent)
    }
    const heads = [...this.taken].slice(0, 16)
    const deps = heads.map(key => this.logs.get(key).at(-1).id).sort(Buffer.compare)
    const now = BigInt(Date.now()) << 16n
    const hlc = now > this.clock ? now : this.clock + 1n
    const place = { network: this.network, conversation: this.lobby, log: this.own, seq: BigInt(entries.length) + 1n }
    const op = makeOp(this.key, { ...place, backlink: entries.at(-1)?.id ?? ZERO, deps, hlc, kind, agent }, payload)
    appendFileSync(this.path, new Writer().bytes(op.bytes).done())
    this.place(op)
    for (const key of heads) this.taken.delete(key)
    return op
  }

  heads () {
    const order = (a, b) => Buffer.compare(a.author, b.author) || Buffer.compare(a.log, b.log)
    return [...this.logs.values()].map(entries => {
      const last = entries.at(-1)
      return { author: last.author, log: last.log, height: last.seq, head: last.id, floor: 1n }
    }).sort(order)
  }

  digest () {
    const writer = new Writer()
    for (const head of this.heads()) writer.raw(head.author).raw(head.log).u64(head.height).raw(head.head)
    return derive('fedp2p/1 conversation digest', writer.done())
  }

  // What a peer's heads show to be missing here.
  missing (heads) {
    return heads.flatMap(head => {
      const height = BigInt(this.entries(head.author, head.log).length)
      return head.height > height ? [{ author: head.author, log: head.log, from: height + 1n }] : []
    })
  }

  // The ops that were asked for, deps first.
  wanted (wants) {
    const from = new Map(wants.map(want => [hex(want.author) + hex(want.log), want.from]))
    return [...this.known.values()].filter(op => op.seq >= (from.get(hex(op.author) + hex(op.log)) ?? 2n ** 64n))
  }

  messages () {
    return [...this.known.values()].filter(op => op.kind === KIND.message).map(op => ({
      id: op.id, author: this.members.get(hex(op.author))?.name, agent: op.agent, ...JSON.parse(op.payload.subarray(1).toString())
    }))
  }
}

// Checks every log from its beginning, as if nothing had been checked when it came.
export function verify (log) {
  for (const entries of log.logs.values()) {
    let before = ZERO
    for (const op of entries) {
      const again = readOp(op.bytes)
      if (!same(again.id, op.id) || !same(again.backlink, before)) throw new Error('a chain that is broken')
      before = op.id
    }
  }
  return log.known.size
}

