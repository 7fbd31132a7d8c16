import { Gather } from './gather.js'
import type { Content, Origin, ReadRows } from './ports.js'
import type { Queries } from './queries.js'
import type { ObjectSlot } from './slot.js'

/** Rows read from a table in one query. */
const maxRows = 200
/** What a read may weigh, about; rows are read in smaller groups where they turn out to be large. */
const maxBytes = 4 * 1024 * 1024

interface RowReadsOptions {
  readonly readRows: ReadRows
  readonly queries: Queries
  /** Resolves once there is room for more rows. */
  readonly room: (origin: Origin) => Promise<void>
  /** Told of each row that was read, in the turn in which its answer is there. */
  readonly onRead: (slot: ObjectSlot, content: Content) => void
}

/** Reads the rows of objects of which only the key is known: a query at a time for each mapping. */
export class RowReads {
  readonly #options: RowReadsOptions
  readonly #gather: Gather<Origin, ObjectSlot>
  /** Those that no query has taken up yet. */
  readonly #queued = new Set<ObjectSlot>()
  #rowBytes = maxBytes / 20

  constructor(options: RowReadsOptions) {
    this.#options = options
    const size = () => Math.max(1, Math.min(maxRows, Math.floor(maxBytes / this.#rowBytes)))
    this.#gather = new Gather(size, (origin, slots) => this.#read(origin, slots))
  }

  add(slot: ObjectSlot): void {
    slot.busy = true
    this.#queued.add(slot)
    this.#options.queries.track(this.#gather.add(slot.origin, slot))
  }

  /** Takes one back; `false` where it is not, or not any more, waiting to be read. */
  withdraw(slot: ObjectSlot): boolean {
    if (!this.#queued.delete(slot)) return false
    slot.busy = false
    return true
  }

  async #read(origin: Origin, gathered: readonly ObjectSlot[]): Promise<void> {
    const { room, queries, readRows, onRead } = this.#options
    await room(origin)
    const slots = gathered.filter((slot) => this.#queued.delete(slot))
    if (slots.length === 0) return
    for (const slot of slots) slot.begin()
    const rows = slots.map((slot) => ({ id: slot.id, key: slot.key() }))
    const read = () => readRows(origin, rows)
    const contents = await queries.untilItWorks(`Rows of ${origin.source} could not be read`, read)
    if (contents === null) return
    const bytes = contents.reduce((sum, content) => sum + (content.kind === 'object' ? content.json.length : 0), 0)
    this.#rowBytes = Math.max(1, bytes / slots.length)
    for (const [index, slot] of slots.entries()) onRead(slot, contents[index] ?? { kind: 'unread' })
  }
}
