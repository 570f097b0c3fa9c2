// Noise_XXpsk3_25519_ChaChaPoly_BLAKE2s, the side of the initiator. After the Noise specification, revision 34.

import { chacha20poly1305 } from '@noble/ciphers/chacha.js'
import { x25519 } from '@noble/curves/ed25519.js'
import { blake2s } from '@noble/hashes/blake2.js'
import { hmac } from '@noble/hashes/hmac.js'

const NAME = 'Noise_XXpsk3_25519_ChaChaPoly_BLAKE2s'
const EMPTY = new Uint8Array()

function derive (chaining, input, count) {
  const temporary = hmac(blake2s, chaining, input)
  const outputs = []
  for (let i = 1; i <= count; i++) outputs.push(hmac(blake2s, temporary, Buffer.concat([outputs.at(-1) ?? EMPTY, Uint8Array.of(i)])))
  return outputs
}

export class Cipher {
  constructor (key) { this.key = key; this.count = 0n }
  nonce () { const nonce = Buffer.alloc(12); nonce.writeBigUInt64LE(this.count++, 4); return nonce }
  seal (plain, extra = EMPTY) { return chacha20poly1305(this.key, this.nonce(), extra).encrypt(plain) }
  open (sealed, extra = EMPTY) { return chacha20poly1305(this.key, this.nonce(), extra).decrypt(sealed) }
}

export class Initiator {
  constructor (prologue, psk) {
    this.hash = this.chaining = blake2s(Buffer.from(NAME))
    this.psk = psk
    this.static = x25519.utils.randomSecretKey()
    this.ephemeral = x25519.utils.randomSecretKey()
    this.mixHash(prologue)
  }

  mixHash (bytes) { this.hash = blake2s(Buffer.concat([this.hash, bytes])) }
  mixKey (input) {
    const [chaining, key] = derive(this.chaining, input, 2)
    this.chaining = chaining
    this.cipher = new Cipher(key)
  }

  seal (plain) {
    const sealed = this.cipher.seal(plain, this.hash)
    this.mixHash(sealed)
    return sealed
  }

  open (sealed) {
    const plain = this.cipher.open(sealed, this.hash)
    this.mixHash(sealed)
    return plain
  }

  // -> e
  first () {
    const e = x25519.getPublicKey(this.ephemeral)
    this.mixHash(e)
    this.mixKey(e)
    return Buffer.concat([e, this.seal(EMPTY)])
  }

  // <- e, ee, s, es
  second (message) {
    const e = message.subarray(0, 32)
    this.mixHash(e)
    this.mixKey(e)
    this.mixKey(x25519.getSharedSecret(this.ephemeral, e))
    const s = this.open(message.subarray(32, 80))
    this.mixKey(x25519.getSharedSecret(this.ephemeral, s))
    this.theirs = e
    return this.open(message.subarray(80))
  }

  // -> s, se, psk
  third (payload) {
    const s = this.seal(x25519.getPublicKey(this.static))
    this.mixKey(x25519.getSharedSecret(this.static, this.theirs))
    const [chaining, hash, key] = derive(this.chaining, this.psk, 3)
    this.chaining = chaining
    this.mixHash(hash)
    this.cipher = new Cipher(key)
    const message = Buffer.concat([s, this.seal(payload)])
    const [send, receive] = derive(this.chaining, EMPTY, 2)
    return { message, send: new Cipher(send), receive: new Cipher(receive) }
  }
}
