// The conventions of the wire format: integers, text, bytes, lists, base32. Whatever does not fit is an error.

const encoder = new TextEncoder()
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

export class Writer {
  parts = []
  raw (bytes) { this.parts.push(bytes); return this }
  u8 (value) { return this.raw(Uint8Array.of(value)) }
  u16 (value) { const b = Buffer.alloc(2); b.writeUInt16BE(value); return this.raw(b) }
  u32 (value) { const b = Buffer.alloc(4); b.writeUInt32BE(value); return this.raw(b) }
  u64 (value) { const b = Buffer.alloc(8); b.writeBigUInt64BE(BigInt(value)); return this.raw(b) }
  flag (value) { return this.u8(value ? 1 : 0) }
  bytes (value) { return this.u32(value.length).raw(value) }
  text (value) { const b = encoder.encode(value); return this.u16(b.length).raw(b) }
  list (items, write) { this.u16(items.length); for (const item of items) write(this, item); return this }
  done () { return Buffer.concat(this.parts) }
}

export class Reader {
  constructor (bytes) { this.bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length); this.at = 0 }
  raw (length) {
    if (this.at + length > this.bytes.length) throw new Error('ends too early')
    this.at += length
    return this.bytes.subarray(this.at - length, this.at)
  }
  u8 () { return this.raw(1)[0] }
  u16 () { return this.raw(2).readUInt16BE() }
  u32 () { return this.raw(4).readUInt32BE() }
  u64 () { return this.raw(8).readBigUInt64BE() }
  flag () { const value = this.u8(); if (value > 1) throw new Error('not a flag'); return value === 1 }
  bytes_ () { return this.raw(this.u32()) }
  text () { return decoder.decode(this.raw(this.u16())) }
  list (read) { return Array.from({ length: this.u16() }, () => read(this)) }
  rest () { return this.raw(this.bytes.length - this.at) }
  end () { if (this.at !== this.bytes.length) throw new Error('goes on too long') }
}

const ALPHABET = 'abcdefghijklmnopqrstuvwxyz234567'

export function base32 (bytes) {
  let text = ''; let value = 0; let bits = 0
  for (const byte of bytes) {
    value = (value << 8) | byte
    bits += 8
    while (bits >= 5) { bits -= 5; text += ALPHABET[(value >> bits) & 31] }
    value &= 255
  }
  return bits > 0 ? text + ALPHABET[(value << (5 - bits)) & 31] : text
}

export function fromBase32 (text) {
  const bytes = []; let value = 0; let bits = 0
  for (const letter of text) {
    const digit = ALPHABET.indexOf(letter)
    if (digit < 0) throw new Error('not base32')
    value = ((value << 5) | digit) & 0xfff
    bits += 5
    if (bits >= 8) { bits -= 8; bytes.push((value >> bits) & 255) }
  }
  if (base32(bytes) !== text) throw new Error('not the one encoding')
  return Buffer.from(bytes)
}

export const hex = bytes => Buffer.from(bytes).toString('hex')
export const same = (a, b) => Buffer.compare(a, b) === 0
