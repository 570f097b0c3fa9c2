// Messages on a stream: a u32 length and that many bytes.

import { Writer } from './wire.js'

export const MAX_FRAME = 65_536

export class Frames {
  // Bytes are taken as they come, so that none is lost when the other end says the last of it and closes.
  constructor (stream, limit = MAX_FRAME) {
    this.stream = stream
    this.limit = limit
    this.buffer = Buffer.alloc(0)
    this.came = []
    this.ended = false
    const wake = () => this.wake?.()
    const end = () => { this.ended = true; wake() }
    stream.addEventListener('message', event => { this.came.push(event.data.subarray()); wake() })
    stream.addEventListener('remoteCloseWrite', end)
    stream.addEventListener('close', end)
  }

  // The next so many bytes; nothing if the stream ends before.
  async raw (length) {
    for (;;) {
      if (this.came.length > 0) this.buffer = Buffer.concat([this.buffer, ...this.came.splice(0)])
      if (this.buffer.length >= length) break
      if (this.ended) return undefined
      await new Promise(resolve => { this.wake = resolve })
    }
    const bytes = this.buffer.subarray(0, length)
    this.buffer = this.buffer.subarray(length)
    return bytes
  }

  async read () {
    const length = (await this.raw(4))?.readUInt32BE()
    if (length === undefined) return undefined
    if (length > this.limit) throw new Error('a frame that is too large')
    return this.raw(length)
  }

  async must () {
    const frame = await this.read()
    if (frame === undefined) throw new Error('the stream ended')
    return frame
  }

  write (content) { return this.stream.send(new Writer().bytes(content).done()) }
}
