// A member of the mesh on js-libp2p: joins by a ticket, says hello, keeps sync and gossip going with one node.

import { EventEmitter } from 'node:events'
import { randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { generateKeyPairFromSeed, publicKeyFromRaw } from '@libp2p/crypto/keys'
import { gossipsub } from '@libp2p/gossipsub'
import { identify } from '@libp2p/identify'
import { noise } from '@libp2p/noise'
import { peerIdFromPublicKey } from '@libp2p/peer-id'
import { tcp } from '@libp2p/tcp'
import { multiaddr } from '@multiformats/multiaddr'
import { yamux } from '@chainsafe/libp2p-yamux'
import { createLibp2p } from 'libp2p'
import { KIND, Key, knock, messageId, readChain, readTicket, ticketOf, topicOf } from './forms.js'
import { Frames } from './frames.js'
import { Log } from './log.js'
import { Initiator } from './noise.js'
import { Reader, Writer, hex, same } from './wire.js'

export const HELLO = '/fedp2p/hello/1'
export const JOIN = '/fedp2p/join/1'
export const SYNC = '/fedp2p/sync/1'
export const FRAME = { digest: 1, have: 2, want: 3, ops: 4, ack: 5, push: 6, stored: 7, ping: 8, pong: 9, renew: 10, renewed: 11 }
const WINDOW = 262_144
const FRAME_OPS = 56 * 1024
const MAX_LISTED = 400
const DIGEST_MS = 5_000
const PING_MS = 5_000

const nodeOf = peer => Buffer.from(peer.publicKey.raw)
export const addressOf = (address, node) => multiaddr(address).encapsulate('/p2p/' + peerIdFromPublicKey(publicKeyFromRaw(node)))

// What is kept between runs: the key, the log epoch and what the ticket brought. The ops are in a file of their own.
export function remember (folder) {
  const path = join(folder, 'member.json')
  const state = existsSync(path) ? JSON.parse(readFileSync(path)) : { seed: hex(randomBytes(32)), epoch: hex(randomBytes(16)) }
  state.save = () => {
    mkdirSync(folder, { recursive: true })
    writeFileSync(path + '.new', JSON.stringify(state))
    renameSync(path + '.new', path)
  }
  return state
}

// A libp2p node with this key. Whoever is not told to listen nowhere can be dialled too.
export async function network (key, { listen = ['/ip4/127.0.0.1/tcp/0'], gossip = {} } = {}) {
  return createLibp2p({
    privateKey: await generateKeyPairFromSeed('Ed25519', key.seed),
    addresses: { listen },
    transports: [tcp()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux({ maxOutboundStreams: 10_000, maxInboundStreams: 10_000 })],
    connectionMonitor: { enabled: false },
    connectionManager: { reconnectRetries: 0, maxParallelDials: 1000, maxDialQueueLength: 10_000, maxConnections: 10_000 },
    services: {
      // Only after the hello.
      identify: identify({ runOnConnectionOpen: false, runOnSelfUpdate: false, protocolPrefix: 'ipfs' }),
      gossip: gossipsub({
        globalSignaturePolicy: 'StrictNoSign',
        msgIdFn: message => messageId(message.data),
        allowPublishToZeroTopicPeers: true,
        ignoreDuplicatePublishError: true,
        emitSelf: false,
        heartbeatInterval: 250,
        D: 6,
        Dlo: 2,
        Dhi: 12,
        ...gossip
      })
    }
  })
}

export class Member extends EventEmitter {
  sessions = new Map() // peer -> session
  greeted = new Set() // connections whose hello is done

  constructor (folder) {
    super()
    this.folder = folder
    this.state = remember(folder)
    this.key = new Key(Buffer.from(this.state.seed, 'hex'))
  }

  async start (options) {
    this.libp2p = await network(this.key, options)
    await this.libp2p.handle(HELLO, (stream, connection) => this.answerHello(stream, connection).catch(error => stream.abort(error)))
    await this.libp2p.handle(SYNC, (stream, connection) => {
      if (this.greeted.has(connection.id)) this.session(stream, connection)
      else stream.abort(new Error('no hello'))
    }, { maxInboundStreams: 8 })
    if (this.state.chain !== undefined) this.become()
  }

  // Takes up what was remembered.
  become () {
    const [organisation, chain, epoch] = ['organisation', 'chain', 'epoch'].map(field => Buffer.from(this.state[field], 'hex'))
    this.log = new Log(join(this.folder, 'ops'), this.key, organisation, chain, epoch)
    const { gossip } = this.libp2p.services
    gossip.subscribe(topicOf(this.log.network, this.log.lobby))
    gossip.addEventListener('message', event => { this.gossiped = (this.gossiped ?? 0) + 1; this.came([event.detail.data]) })
  }

  // Join: becomes a member by a ticket.
  async join (text, name) {
    const ticket = readTicket(text)
    const connection = await this.libp2p.dial(ticket.addresses.map(address => addressOf(address, ticket.inviter)))
    const stream = await connection.newStream(JOIN)
    const frames = new Frames(stream, 16_384)
    const noise = new Initiator(Buffer.concat([Buffer.from(JOIN), this.key.node, ticket.inviter]), ticket.secret)
    frames.write(Buffer.concat([ticketOf(ticket.secret), noise.first()]))
    noise.second(await frames.must())
    const { message, receive } = noise.third(new Writer().text(name).done())
    frames.write(message)
    const answer = new Reader(receive.open(await frames.must()))
    // The inviter may have closed it first.
    await connection.close().catch(() => {})
    const code = answer.u8()
    if (code !== 0) throw new Error(['', 'expired', 'used', 'the name is taken', 'the inviter is unable'][code] ?? 'an unknown answer')
    const [chain, inviters] = [answer.bytes_(), answer.bytes_()]
    answer.end()
    if (!same(readChain(chain, ticket.organisation).subject, this.key.node)) throw new Error('a certificate of another')
    if (!same(readChain(inviters, ticket.organisation).subject, ticket.inviter)) throw new Error('an inviter that is another')
    Object.assign(this.state, {
      organisation: hex(ticket.organisation), chain: hex(chain), node: hex(ticket.inviter), addresses: ticket.addresses
    })
    this.state.save()
    this.become()
  }

  welcome () {
    const addresses = this.libp2p.getMultiaddrs().map(address => address.toString().replace(/\/p2p\/.*$/, ''))
    return new Writer().bytes(this.log.chain).list(addresses.slice(0, 16), (w, address) => w.text(address)).done()
  }

  learn (welcome, node) {
    const reader = new Reader(welcome)
    this.log.name(node, reader.bytes_())
    reader.list(r => r.text())
    reader.end()
  }

  // Dials the node that invited us, says hello and starts to sync and to gossip. Resolves when that is under way.
  async connect (addresses = this.state.addresses) {
    const node = Buffer.from(this.state.node, 'hex')
    const connection = await this.libp2p.dial(addresses.map(address => addressOf(address, node)), { force: true })
    await this.hello(connection)
    // Who has the smaller id opens the sync stream; the other does after a while without one.
    if (Buffer.compare(this.key.node, node) < 0) this.session(await connection.newStream(SYNC), connection)
    await this.libp2p.services.identify.identify(connection)
    return connection
  }

  async hello (connection) {
    const node = nodeOf(connection.remotePeer)
    const frames = new Frames(await connection.newStream(HELLO), 16_384)
    const nonce = randomBytes(16)
    frames.write(Buffer.concat([nonce, knock(this.log.organisation, nonce, this.key.node, node)]))
    this.learn(await frames.must(), node)
    frames.write(this.welcome())
    if ((await frames.raw(1))?.[0] !== 1) throw new Error('not admitted')
    this.greeted.add(connection.id)
    await frames.stream.close()
  }

  async answerHello (stream, connection) {
    const node = nodeOf(connection.remotePeer)
    const frames = new Frames(stream, 16_384)
    const first = await frames.must()
    const nonce = first.subarray(0, 16)
    if (!same(first.subarray(16), knock(this.log.organisation, nonce, node, this.key.node))) throw new Error('a stranger')
    frames.write(this.welcome())
    this.learn(await frames.must(), node)
    this.greeted.add(connection.id)
    stream.send(Uint8Array.of(1))
    await stream.close()
    if (Buffer.compare(this.key.node, node) < 0) this.session(await connection.newStream(SYNC), connection)
  }

  session (stream, connection) {
    const peer = connection.remotePeer.toString()
    this.sessions.get(peer)?.end()
    const session = new Session(this, stream, peer)
    this.sessions.set(peer, session)
    this.emit('session', session)
  }

  // Ops came, whichever way.
  came (ops) {
    const { fresh, gap } = this.log.take(ops)
    if (gap) for (const session of this.sessions.values()) session.digest()
    const theirs = fresh.filter(op => !same(op.author, this.key.node))
    for (const op of theirs) this.emit('op', op)
    for (const session of this.sessions.values()) session.stored(theirs)
  }

  // An own entry goes to every connected node and into gossip, or only one of these ways, or none: then sync finds it.
  publish (op, how = 'both') {
    if (how !== 'gossip' && how !== 'none') for (const session of this.sessions.values()) session.push(op)
    if (how !== 'push' && how !== 'none') this.libp2p.services.gossip.publish(topicOf(this.log.network, this.log.lobby), op.bytes)
  }

  renewed (chain) {
    this.log.name(this.key.node, chain)
    this.log.chain = chain
    this.state.chain = hex(chain)
    this.state.save()
    this.publish(this.log.append(KIND.certificate, Buffer.concat([Uint8Array.of(0), chain])))
    this.emit('renewed', chain)
  }

  async stop () {
    for (const session of this.sessions.values()) session.end()
    await this.libp2p.stop()
  }
}

const chunks = (list, size) => list.length === 0 ? [[]] : Array.from({ length: Math.ceil(list.length / size) }, (_, i) => list.slice(i * size, (i + 1) * size))
const readHead = r => ({ author: r.raw(32), log: r.raw(16), height: r.u64(), head: r.raw(32), floor: r.u64() })
const writeHead = (w, head) => w.raw(head.author).raw(head.log).u64(head.height).raw(head.head).u64(head.floor)

// One sync stream.
export class Session {
  heads = []
  wants = []
  serving = []
  outstanding = 0
  pongs = 0

  constructor (member, stream, peer) {
    Object.assign(this, { member, stream, peer })
    this.log = member.log
    this.frames = new Frames(stream)
    this.timers = [
      setInterval(() => this.digest(), DIGEST_MS),
      setInterval(() => this.ping(), PING_MS)
    ]
    this.run().catch(error => { member.emit('trouble', error); stream.abort(error) }).finally(() => this.end())
    this.digest()
    this.ping()
  }

  end () {
    this.timers.forEach(clearInterval)
    if (this.ended) return
    this.ended = true
    if (this.member.sessions.get(this.peer) === this) this.member.sessions.delete(this.peer)
    this.stream.close().catch(() => {})
    this.member.emit('ended', this)
  }

  async run () {
    for (let frame = await this.frames.read(); frame !== undefined; frame = await this.frames.read()) {
      const reader = new Reader(frame)
      this.take(reader.u8(), reader)
      reader.end()
    }
  }

  say (type, write = w => w) {
    if (this.stream.status === 'open') this.frames.write(write(new Writer().u8(type)).done())
  }

  digest () { this.say(FRAME.digest, w => w.list([this.log.lobby], (v, id) => v.raw(id).raw(this.log.digest()))) }
  ping () { this.say(FRAME.ping, w => w.u64(Date.now())) }
  renew () { this.say(FRAME.renew) }
  push (op) { this.say(FRAME.push, w => w.list([op], (v, o) => v.bytes(o.bytes))) }

  stored (ops) {
    const logs = new Set(ops.map(op => hex(op.author) + hex(op.log)))
    const heads = this.log.heads().filter(head => logs.has(hex(head.author) + hex(head.log)))
    if (heads.length > 0) this.say(FRAME.stored, w => w.raw(this.log.lobby).list(heads, writeHead))
  }

  take (type, r) {
    switch (type) {
      case FRAME.digest: {
        const entries = r.list(x => [x.raw(16), x.raw(32)])
        const theirs = entries.find(([id]) => same(id, this.log.lobby))?.[1]
        if (theirs !== undefined && !same(theirs, this.log.digest())) this.have()
        this.agrees = theirs !== undefined && same(theirs, this.log.digest())
        return
      }
      case FRAME.have: return this.haveCame(r)
      case FRAME.want: return this.wantCame(r)
      case FRAME.ops: {
        r.raw(16)
        const last = r.flag()
        const ops = r.list(x => x.bytes_())
        this.member.came(ops)
        this.say(FRAME.ack, w => w.u32(ops.reduce((sum, op) => sum + op.length, 0)))
        if (last) { this.fetching = false; this.digest() }
        return
      }
      case FRAME.ack: this.outstanding -= r.u32(); return this.serve()
      case FRAME.push: return this.member.came(r.list(x => x.bytes_()))
      case FRAME.stored: {
        r.raw(16)
        const own = r.list(readHead).find(head => same(head.author, this.log.key.node) && same(head.log, this.log.own))
        if (own !== undefined) this.reached = own.height
        return
      }
      case FRAME.ping: { const clock = r.u64(); return this.say(FRAME.pong, w => w.u64(clock)) }
      case FRAME.pong: r.u64(); this.pongs++; return
      case FRAME.renew: return // We may not admit anybody.
      case FRAME.renewed: return this.member.renewed(r.bytes_())
      default: throw new Error('an unknown frame')
    }
  }

  have () {
    const lists = chunks(this.log.heads(), MAX_LISTED)
    lists.forEach((heads, i) => this.say(FRAME.have, w => w.raw(this.log.lobby).flag(i + 1 < lists.length).list(heads, writeHead)))
  }

  haveCame (r) {
    r.raw(16)
    const more = r.flag()
    this.heads.push(...r.list(readHead))
    if (more) return
    const wants = this.log.missing(this.heads)
    this.heads = []
    if (wants.length === 0 || this.fetching) return
    this.fetching = true
    const lists = chunks(wants, MAX_LISTED)
    const write = (w, want) => w.raw(want.author).raw(want.log).u64(want.from)
    lists.forEach((part, i) => this.say(FRAME.want, w => w.raw(this.log.lobby).flag(i + 1 < lists.length).list(part, write)))
  }

  wantCame (r) {
    r.raw(16)
    const more = r.flag()
    this.wants.push(...r.list(x => ({ author: x.raw(32), log: x.raw(16), from: x.u64() })))
    if (more) return
    const ops = this.log.wanted(this.wants).map(op => op.bytes)
    this.wants = []
    let part = []
    let size = 0
    for (const op of ops) {
      if (size + op.length > FRAME_OPS && part.length > 0) { this.serving.push([part, size, false]); part = []; size = 0 }
      part.push(op)
      size += op.length
    }
    this.serving.push([part, size, true])
    this.serve()
  }

  serve () {
    while (this.serving.length > 0 && this.outstanding + this.serving[0][1] <= WINDOW) {
      const [ops, size, last] = this.serving.shift()
      this.outstanding += size
      this.say(FRAME.ops, w => w.raw(this.log.lobby).flag(last).list(ops, (v, op) => v.bytes(op)))
    }
  }
}
