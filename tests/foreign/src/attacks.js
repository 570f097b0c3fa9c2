// The same member turned hostile: each mode is one thing that an attacker can do, as often as it can.
// `node --import ./src/polyfill.js src/hostile.js FOLDER` takes its commands.

import { randomBytes } from 'node:crypto'
import { connect as tcpConnect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { KIND, Key, derive, encodeOp, knock, makeOp, messageId, topicOf } from './forms.js'
import { FRAME, HELLO, JOIN, SYNC, addressOf, network } from './member.js'
import { Writer, base32 } from './wire.js'

const BATCH = 100
const GOSSIP = '/meshsub/1.1.0'
const clear = value => Buffer.concat([Uint8Array.of(0), Buffer.from(JSON.stringify(value))])
const framed = content => new Writer().bytes(content).done()
const frame = (type, write = w => w) => framed(write(new Writer().u8(type)).done())
const pushed = ops => frame(FRAME.push, w => w.list(ops, (v, op) => v.bytes(op)))

// Protocol buffers, as far as gossipsub needs them.
function varint (value) {
  const bytes = []
  for (; value > 127; value = Math.floor(value / 128)) bytes.push((value & 127) | 128)
  return Buffer.from([...bytes, value])
}
const field = (number, content) => Buffer.concat([varint(number * 8 + 2), varint(content.length), content])
const flag = (number, value) => Buffer.concat([varint(number * 8), varint(value)])
const rpc = (...fields) => { const content = Buffer.concat(fields); return Buffer.concat([varint(content.length), content]) }
const subscription = (topic, on) => field(1, Buffer.concat([flag(1, on ? 1 : 0), field(2, Buffer.from(topic))]))
const message = (topic, data) => field(2, Buffer.concat([field(2, data), field(4, Buffer.from(topic))]))
const control = content => field(3, content)

// A stream that is written as fast as the other end takes it.
async function pour (stream, bytes) {
  if (stream.status !== 'open') throw new Error('closed')
  if (stream.send(bytes) === false) await stream.onDrain({ signal: AbortSignal.timeout(5_000) })
}

// What a member's attacks have at hand on one connection.
class Link {
  constructor (attacker, connection) {
    this.attacker = attacker
    this.connection = connection
    this.topic = topicOf(attacker.log.network, attacker.log.lobby)
  }

  async open (protocol) {
    const stream = await this.connection.newStream(protocol, { maxOutboundStreams: 100_000, negotiateFully: false })
    stream.addEventListener('message', () => {})
    return stream
  }

  // One stream for all: another would not stand at once.
  async sync () { return (this.stream ??= await this.open(SYNC)) }
  async gossip () {
    const stream = await this.open(GOSSIP)
    await pour(stream, rpc(subscription(this.topic, true), control(field(3, field(1, Buffer.from(this.topic))))))
    return stream
  }

  // The next own entries, good or spoilt. An attacker keeps no log but its last position.
  ops (spoil = {}) {
    const { attacker } = this
    return Array.from({ length: BATCH }, () => attacker.next(spoil))
  }

  async repeat (make, protocol = 'sync') {
    const stream = await this[protocol]()
    for (;;) {
      const { bytes, count } = make()
      await pour(stream, bytes)
      this.attacker.sent += count
      await new Promise(setImmediate)
    }
  }

  pushing (make) { return this.repeat(() => { const ops = make(); return { bytes: pushed(ops), count: ops.length } }) }
  gossiping (make) {
    return this.repeat(() => { const ops = make(); return { bytes: rpc(...ops.slice(0, 60).map(op => message(this.topic, op))), count: 60 } }, 'gossip')
  }

  frames (make) { return this.repeat(() => { const many = make(); return { bytes: Buffer.concat(many), count: many.length } }) }
  controls (make) { return this.repeat(() => ({ bytes: make(), count: 1 }), 'gossip') }
}

const times = (count, make) => Array.from({ length: count }, make)
const head = (author, log, height) => w => w.raw(author).raw(log).u64(height).raw(randomBytes(32)).u64(1)
const lists = (type, lobby, write) => frame(type, w => { w.raw(lobby).flag(false); return write(w) })

// What a member does. Each takes a link and goes on until the connection is cut.
export const MEMBERS = {
  // No attack, but what others are to be compared with: honest nodes gossip less while all members are connected.
  quiet: async link => { await gone(link.connection) },
  'valid-push': link => link.pushing(() => link.ops()),
  'valid-gossip': link => link.gossiping(() => link.ops()),
  'bad-signature-push': link => link.pushing(() => link.ops({ signature: randomBytes(64) })),
  'bad-signature-gossip': link => link.gossiping(() => link.ops({ signature: randomBytes(64) })),
  'garbage-push': link => link.pushing(() => times(BATCH, () => randomBytes(200))),
  'garbage-gossip': link => link.gossiping(() => times(60, () => randomBytes(200))),
  'garbage-frames': link => link.frames(() => times(BATCH, () => framed(randomBytes(60)))),
  'oversize-length': link => link.frames(() => [Buffer.from('ffffffff00', 'hex'), randomBytes(60_000)]),
  'oversize-gossip': link => link.controls(() => rpc(message(link.topic, randomBytes(1 << 20)))),
  'oversize-header': link => link.pushing(() => [encodeOp(randomBytes(60_000), randomBytes(64), Buffer.alloc(0))]),
  'replay-push': link => link.pushing(() => link.attacker.old),
  'replay-gossip': link => link.gossiping(() => link.attacker.old),
  'other-network': link => link.pushing(() => link.ops({ network: randomBytes(16) })),
  'forged-author': link => link.pushing(() => link.ops({ author: link.attacker.victim })),
  'graft-storm': link => link.controls(() => rpc(control(Buffer.concat(times(300, () => field(3, field(1, Buffer.from(link.topic)))))))),
  'ihave-storm': link => link.controls(() => rpc(control(field(1, Buffer.concat([field(1, Buffer.from(link.topic)), ...times(500, () => field(2, randomBytes(20)))]))))),
  'iwant-storm': link => link.controls(() => rpc(control(field(2, Buffer.concat(link.attacker.old.concat(times(400, () => randomBytes(9))).map(op => field(1, messageId(op)))))))),
  'subscription-storm': link => link.controls(() => rpc(...times(500, i => subscription('t' + Math.random(), true)))),
  'half-open-streams': async link => {
    for (const kinds = [HELLO, JOIN, SYNC, GOSSIP]; ;) {
      await Promise.all(kinds.map(kind => link.open(kind)))
      link.attacker.sent += kinds.length
      await new Promise(setImmediate)
    }
  },
  'slow-read': async link => {
    const stream = await link.sync()
    stream.pause()
    const { log } = link.attacker
    for (;;) {
      await pour(stream, lists(FRAME.want, log.lobby, w => w.list(log.heads(), (v, h) => v.raw(h.author).raw(h.log).u64(1))))
      await pour(stream, frame(FRAME.ping, w => w.u64(Date.now())))
      link.attacker.sent += 2
      await sleep(10)
    }
  },
  'never-acknowledge': link => {
    const { log } = link.attacker
    return link.frames(() => [lists(FRAME.want, log.lobby, w => w.list(log.heads(), (v, h) => v.raw(h.author).raw(h.log).u64(1)))])
  },
  'want-storm': link => {
    const { log } = link.attacker
    const want = lists(FRAME.want, log.lobby, w => w.list(log.heads(), (v, h) => v.raw(h.author).raw(h.log).u64(1)))
    return link.frames(() => [want, frame(FRAME.ack, w => w.u32(0xffff_ffff))])
  },
  'have-high': link => {
    const { log } = link.attacker
    return link.frames(() => [lists(FRAME.have, log.lobby, w => w.list(log.heads(), (v, h) => head(h.author, h.log, 1_000_000)(v)))])
  },
  'have-strange': link => link.frames(() => [lists(FRAME.have, link.attacker.log.lobby, w => w.list(times(400), v => head(randomBytes(32), randomBytes(16), 9)(v)))]),
  'digest-storm': link => link.frames(() => times(BATCH, () => frame(FRAME.digest, w => w.list([0], v => v.raw(link.attacker.log.lobby).raw(randomBytes(32)))))),
  'ping-storm': link => link.frames(() => times(BATCH, () => frame(FRAME.ping, w => w.u64(Date.now())))),
  'stored-storm': link => link.frames(() => times(BATCH, () => frame(FRAME.stored, w => w.raw(link.attacker.log.lobby).list(times(10), v => head(link.attacker.victim, randomBytes(16), 9)(v))))),
  'slow-frame': async link => {
    const stream = await link.sync()
    await pour(stream, Buffer.from('0000ffff06', 'hex'))
    for (;;) { await sleep(500); await pour(stream, Uint8Array.of(0)); link.attacker.sent++ }
  },
  churn: async link => { link.attacker.sent++; await link.connection.close() }
}

// What somebody without a certificate does to an address, with as many connections as it can.
export const STRANGERS = {
  'tcp-half-open': (stranger, { host, port }) => tcp(stranger, host, port, async socket => { await ended(socket) }),
  'tcp-garbage': (stranger, { host, port }) => tcp(stranger, host, port, async socket => {
    while (!socket.destroyed) { socket.write(randomBytes(60_000)); stranger.sent++; await sleep(1) }
  }),
  connections: (stranger, target) => strange(stranger, target, async connection => { await gone(connection) }),
  'connection-churn': (stranger, target) => strange(stranger, target, async connection => { await connection.close() }),
  'slow-hello': (stranger, target) => strange(stranger, target, async connection => {
    const stream = await connection.newStream(HELLO)
    stream.send(Buffer.from('00000030', 'hex'))
    for (; stream.status === 'open'; await sleep(200)) stream.send(Uint8Array.of(0))
    await gone(connection)
  }),
  'false-knock': (stranger, target) => strange(stranger, target, async connection => {
    const stream = await connection.newStream(HELLO)
    stream.send(framed(Buffer.concat([randomBytes(16), knock(derive('another'), randomBytes(16), randomBytes(32), randomBytes(32))])))
    await gone(connection)
  }),
  'false-ticket': (stranger, target) => strange(stranger, target, async connection => {
    const stream = await connection.newStream(JOIN)
    stream.send(framed(randomBytes(64)))
    await gone(connection)
  }),
  'streams-without-hello': (stranger, target) => strange(stranger, target, async connection => {
    while (connection.status === 'open') { await connection.newStream([SYNC, JOIN], { maxOutboundStreams: 100_000 }); stranger.sent++ }
  })
}

const PARALLEL = 64
const ended = socket => new Promise(resolve => socket.once('close', resolve))
const gone = connection => new Promise(resolve => connection.status === 'open' ? connection.addEventListener('close', resolve) : resolve())

async function forever (count, work) {
  await Promise.all(times(count, async () => {
    for (;;) {
      await work().catch(() => {})
      await sleep(5)
    }
  }))
}

function tcp (stranger, host, port, work) {
  return forever(PARALLEL * 8, async () => {
    const socket = tcpConnect(port, host)
    socket.on('error', () => {})
    await new Promise((resolve, reject) => { socket.once('connect', resolve); socket.once('close', reject) })
    stranger.sent++
    await Promise.all([work(socket), ended(socket).then(() => stranger.cut++)])
  })
}

async function strange (stranger, { node, address }, work) {
  // A few keys, each with as many connections as it is let.
  const nodes = await Promise.all(times(16, () => network(new Key(randomBytes(32)), { listen: [] })))
  const tasks = nodes.map(libp2p => forever(PARALLEL / 8, async () => {
    const connection = await libp2p.dial(addressOf(address, node), { force: true, signal: AbortSignal.timeout(10_000) })
    stranger.sent++
    connection.addEventListener('close', () => stranger.cut++)
    await work(connection)
  }))
  await Promise.all(tasks)
}

// A member that attacks.
export class Attacker {
  sent = 0
  cut = 0
  refused = 0
  seq = 1n

  constructor (member, target) {
    this.member = member
    this.log = member.log
    this.target = target
    this.victim = target.node
    this.start = makeOp(member.key, { ...this.place(), seq: 1n, backlink: Buffer.alloc(32), kind: KIND.start }, new Writer().u8(0).bytes(this.log.chain).flag(false).done())
    this.before = this.start.id
    this.old = times(BATCH, () => this.next({}))
  }

  place () {
    this.logId ??= randomBytes(16)
    this.clock = (this.clock ?? BigInt(Date.now()) << 16n) + 1n
    return { network: this.log.network, conversation: this.log.lobby, log: this.logId, hlc: this.clock }
  }

  // The next entry of a log of our own that nobody stops; with anything in it replaced. It is to ourselves, so that the
  // honest find nothing of it in their inboxes and count only what is theirs.
  next ({ signature, ...replaced }) {
    this.seq += 1n
    const op = makeOp(this.member.key, { ...this.place(), seq: this.seq, backlink: this.before, kind: KIND.message, agent: 'eve', ...replaced }, clear({ type: 'chat', text: 'x'.repeat(64), to: [{ node: base32(this.member.key.node), name: 'eve' }] }), { signature })
    this.before = op.id
    return op.bytes
  }

  async run (mode) {
    for (const { target } = this; ;) {
      try {
        const connection = await this.member.libp2p.dial(addressOf(target.address, target.node), { force: true, signal: AbortSignal.timeout(10_000) })
        await this.member.hello(connection)
        const link = new Link(this, connection)
        const introduction = await link.sync()
        introduction.send(pushed([this.start.bytes, ...this.old]))
        let done = false
        const closed = gone(connection).then(() => { if (!done) this.cut++ })
        await Promise.race([MEMBERS[mode](link).catch(() => sleep(100)), closed])
        done = true
        if (connection.status === 'open') await connection.close().catch(() => connection.abort(new Error('again')))
      } catch {
        this.refused++
      }
      await sleep(mode === 'churn' ? 1 : 50)
    }
  }
}

