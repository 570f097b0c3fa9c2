// This member's Automerge document, rebuilt from its log. From protocols/SPEC.md, "Documents".

import * as Automerge from '@automerge/automerge'
import { KIND, derive } from './forms.js'
import { Writer, base32, hex } from './wire.js'

const GENESIS = Buffer.from(
  '856f4a83ad9d7669013000106665647032702f312067656e657369730101' +
  '00000005150734014202560270027f056e6f646573017f007f007f00', 'hex')
const EPOCH = 1

export class Picture {
  constructor (log) {
    this.log = log
    this.node = base32(log.key.node)
    const epoch = Buffer.alloc(4)
    epoch.writeUInt32LE(EPOCH)
    const actor = hex(derive('fedp2p/1 document', log.key.node, log.own, log.lobby, epoch).subarray(0, 16))
    const changes = log.entries(log.key.node, log.own).filter(op => op.kind === KIND.change).map(op => op.payload.subarray(6))
    this.document = Automerge.applyChanges(Automerge.init({ actor }), [GENESIS, ...changes])[0]
  }

  change (edit) {
    if (!this.log.entries(this.log.key.node, this.log.own).some(op => op.kind === KIND.checkpoint)) {
      // The first epoch restates nothing.
      this.log.append(KIND.checkpoint, new Writer().u8(0).u8(0).u32(EPOCH).u32(0).done())
    }
    const time = Math.floor(Date.now() / 1000)
    this.document = Automerge.change(this.document, { time }, document => {
      document.nodes[this.node] ??= {}
      edit(document.nodes[this.node])
    })
    const change = Automerge.getLastLocalChange(this.document)
    return this.log.append(KIND.change, new Writer().u8(0).u8(0).u32(EPOCH).raw(change).done())
  }

  register (agent, kind) {
    return this.change(own => {
      own.agents ??= {}
      own.agents[agent] = { kind: new Automerge.ImmutableString(kind) }
    })
  }

  pulse (agent, fields) {
    return this.change(own => {
      own.agents[agent].said ??= { pulse: {} }
      const { said } = own.agents[agent]
      for (const [field, value] of Object.entries(fields)) said.pulse[field] = new Automerge.ImmutableString(value)
      said.at = new Automerge.Uint(Date.now())
    })
  }
}

// The changes of the document of one author that counts: of all epochs that are complete, the greatest.
function current (logs) {
  const epochs = logs.flatMap(entries => entries.filter(op => op.kind === KIND.checkpoint).map(op => {
    const [epoch, restated] = [op.payload.readUInt32BE(2), op.payload.readUInt32BE(6)]
    const changes = entries.filter(other => other.kind === KIND.change && other.payload.readUInt32BE(2) === epoch)
    return { epoch, log: op.log, complete: changes.length >= restated, changes }
  }))
  const order = (a, b) => b.epoch - a.epoch || Buffer.compare(b.log, a.log)
  return epochs.filter(epoch => epoch.complete).sort(order)[0]?.changes ?? []
}

// What all agents say, read out of all documents merged into one.
export function everybody (log) {
  const authors = new Map()
  for (const entries of log.logs.values()) {
    const author = hex(entries[0].author)
    authors.set(author, [...(authors.get(author) ?? []), entries])
  }
  const changes = [...authors.values()].flatMap(current).map(op => op.payload.subarray(6))
  const [document] = Automerge.applyChanges(Automerge.init(), [GENESIS, ...changes])
  return Automerge.toJS(document).nodes
}
