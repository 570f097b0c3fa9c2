// What is signed, named and sent: names of things, certificates, tickets, ops. From protocols/SPEC.md.

import { createPrivateKey, createPublicKey, sign as signWith, verify as verifyWith } from 'node:crypto'
import { ed25519 } from '@noble/curves/ed25519.js'
import { blake3 } from '@noble/hashes/blake3.js'
import { Reader, Writer, base32, fromBase32, same } from './wire.js'

const ascii = text => Buffer.from(text, 'ascii')
export const hash = bytes => Buffer.from(blake3(bytes))
export const keyed = (key, ...parts) => Buffer.from(blake3(Buffer.concat(parts), { key }))
export const derive = (context, ...parts) => Buffer.from(blake3(Buffer.concat(parts), { context: ascii(context) }))
const short = (context, ...parts) => derive(context, ...parts).subarray(0, 16)

export const networkOf = organisation => short('fedp2p/1 network', organisation)
export const lobbyOf = network => short('fedp2p/1 lobby', network)
export const logOf = (epoch, conversation) => short('fedp2p/1 log', epoch, conversation)
export const ticketOf = secret => short('fedp2p/1 ticket', secret)
export const topicOf = (network, conversation) => 'fedp2p/1/' + base32(short('fedp2p/1 topic', network, conversation))
export const knock = (organisation, nonce, dialler, listener) =>
  keyed(derive('fedp2p/1 knock', organisation), nonce, dialler, listener)
export const messageId = data => hash(data).subarray(0, 20)

// Keys. Node's own Ed25519 is many times faster than one in JavaScript, but stricter than ZIP 215: what it refuses is
// looked at again.
const SECRET = Buffer.from('302e020100300506032b657004220420', 'hex')
const PUBLIC = Buffer.from('302a300506032b6570032100', 'hex')

export class Key {
  constructor (seed) {
    this.seed = seed
    this.secret = createPrivateKey({ key: Buffer.concat([SECRET, seed]), format: 'der', type: 'pkcs8' })
    this.node = createPublicKey(this.secret).export({ format: 'der', type: 'spki' }).subarray(-32)
  }

  sign (domain, bytes) { return signWith(null, Buffer.concat([ascii(domain), bytes]), this.secret) }
}

export function isSigned (signature, domain, bytes, by) {
  const signed = Buffer.concat([ascii(domain), bytes])
  const key = createPublicKey({ key: Buffer.concat([PUBLIC, by]), format: 'der', type: 'spki' })
  return verifyWith(null, signed, key, signature) || ed25519.verify(signature, signed, by, { zip215: true })
}

// Certificates

const CERTIFICATE = 'fedp2p/certificate/v1'

export function readCertificate (bytes) {
  const reader = new Reader(bytes)
  if (reader.u8() !== 1) throw new Error('a certificate of another version')
  const certificate = {
    organisation: reader.raw(32), organisationName: reader.text(), subject: reader.raw(32), name: reader.text(),
    roles: reader.u16(), notBefore: reader.u64(), notAfter: reader.u64(), serial: reader.raw(16), issuer: reader.raw(32)
  }
  reader.end()
  return certificate
}

// Reads a chain and checks who says it, of which organisation, and that it holds now.
export function readChain (bytes, organisation, now = Date.now()) {
  const reader = new Reader(bytes)
  const links = reader.list(r => ({ bytes: r.bytes_(), signature: r.raw(64) }))
  reader.end()
  if (links.length < 1 || links.length > 2) throw new Error('a chain has one or two certificates')
  let issuer = organisation
  let last
  for (const link of links) {
    const certificate = readCertificate(link.bytes)
    if (!same(certificate.organisation, organisation) || !same(certificate.issuer, issuer)) throw new Error('a certificate of another')
    if (last !== undefined && (last.roles & 2) === 0) throw new Error('the issuer may not admit')
    if (!isSigned(link.signature, CERTIFICATE, link.bytes, issuer)) throw new Error('a certificate that nobody signed')
    if (BigInt(now) < certificate.notBefore || BigInt(now) > certificate.notAfter) throw new Error('a certificate that does not hold now')
    issuer = certificate.subject
    last = certificate
  }
  return last
}

// Tickets

export function readTicket (text) {
  if (!text.startsWith('fedp2p1')) throw new Error('not a ticket')
  const bytes = fromBase32(text.slice(7))
  const body = bytes.subarray(0, -4)
  if (!same(hash(body).subarray(0, 4), bytes.subarray(-4))) throw new Error('a mistyped ticket')
  const reader = new Reader(body)
  const ticket = {
    organisation: reader.raw(32), organisationName: reader.text(), inviter: reader.raw(32), secret: reader.raw(32),
    expiry: reader.u64(), addresses: reader.list(r => r.text())
  }
  reader.end()
  return ticket
}

// Ops

const OP = 'fedp2p/op/v1'
export const KIND = { start: 1, certificate: 2, message: 3, receipt: 4, change: 5, checkpoint: 6, forkProof: 7 }

function headerBytes (h) {
  const writer = new Writer().u8(1).raw(h.network).raw(h.author).raw(h.log).u64(h.seq).raw(h.backlink).raw(h.conversation)
  writer.list(h.deps, (w, dep) => w.raw(dep)).u64(h.hlc).u16(h.kind).text(h.agent).raw(h.payloadHash).u32(h.payloadLength)
  writer.flag(h.floor !== undefined)
  if (h.floor !== undefined) writer.u64(h.floor)
  return writer.done()
}

export const encodeOp = (header, signature, payload) => new Writer().u16(header.length).raw(header).raw(signature).raw(payload).done()

// Makes and signs an op. `fields` lacks only what follows from the key and the payload.
export function makeOp (key, fields, payload, { signature } = {}) {
  const header = { author: key.node, deps: [], agent: '', ...fields, payloadHash: hash(payload), payloadLength: payload.length }
  const bytes = headerBytes(header)
  const signed = signature ?? key.sign(OP, bytes)
  return { ...header, id: hash(bytes), payload, bytes: encodeOp(bytes, signed, payload) }
}

// Reads an op and checks everything that it says of itself, the signature included.
export function readOp (bytes) {
  if (bytes.length > 61_440) throw new Error('too large')
  const reader = new Reader(bytes)
  const header = reader.raw(reader.u16())
  if (header.length > 1_024) throw new Error('a header too large')
  const signature = reader.raw(64)
  const payload = reader.rest()
  const r = new Reader(header)
  if (r.u8() !== 1) throw new Error('an op of another version')
  const op = {
    network: r.raw(16), author: r.raw(32), log: r.raw(16), seq: r.u64(), backlink: r.raw(32), conversation: r.raw(16),
    deps: r.list(x => x.raw(32)), hlc: r.u64(), kind: r.u16(), agent: r.text(), payloadHash: r.raw(32), payloadLength: r.u32()
  }
  if (r.flag()) op.floor = r.u64()
  r.end()
  if (op.deps.length > 16 || op.deps.some((dep, i) => i > 0 && Buffer.compare(op.deps[i - 1], dep) >= 0)) throw new Error('deps out of order')
  if (op.payloadLength !== payload.length || !same(op.payloadHash, hash(payload))) throw new Error('another payload')
  if (!isSigned(signature, OP, header, op.author)) throw new Error('an op that its author did not sign')
  return { ...op, id: hash(header), payload, bytes: Buffer.from(bytes) }
}
