import { type DirtyKey, DirtyQueue, type DirtyStore } from '../capture/dirty.js'
import type { Arrival, Ticket } from '../delivery/ports.js'
import type { Logger } from '../logger.js'
import type { Doubts } from './doubts.js'
import type { Sources } from './sources.js'

interface DirtyKeysOptions {
  readonly db: DirtyStore
  readonly schema: string
  readonly sources: Sources
  readonly doubts: Pick<Doubts, 'dirty' | 'keysThrough'>
  readonly arrive: (arrival: Arrival) => void
  readonly markTable: (source: string, ticket: Ticket) => void
  readonly logger: Logger
}

/** From the keys in `dirty` to changes of objects: each key is one change for every mapping of its table. */
export class DirtyKeys {
  readonly #options: DirtyKeysOptions
  readonly #queue: DirtyQueue
  readonly #running: Promise<void>

  constructor(options: DirtyKeysOptions) {
    this.#options = options
    this.#queue = new DirtyQueue({
      pool: options.db,
      schema: options.schema,
      sources: () => options.sources.all.filter((source) => source.misfit === null).map((source) => source.name),
      onKeys: (keys) => this.#onKeys(keys),
      logger: options.logger,
    })
    this.#running = this.#queue.run()
  }

  /** Takes over no more keys. */
  async stop(): Promise<void> {
    this.#queue.stop()
    await this.#running
  }

  /** Deletes the keys that are settled. */
  flush(): Promise<void> {
    return this.#queue.flush()
  }

  async #onKeys(keys: readonly DirtyKey[]): Promise<void> {
    // In the order of their marks, so the last is the newest.
    await this.#options.doubts.dirty.cover(keys.at(-1)?.seq ?? 0n)
    for (const key of keys) this.#onKey(key)
  }

  #onKey({ seq, source: name, key, force, settle }: DirtyKey): void {
    const { sources, arrive, markTable, doubts } = this.#options
    const targets = sources.get(name)?.targets ?? []
    const ticket = settledAfter(targets.length, settle)
    const replayed = seq <= doubts.keysThrough
    for (const { origin, idOf } of targets) {
      const id = idOf(key)
      // The table's key is another one by now.
      if (id === undefined) markTable(name, ticket)
      else arrive({ origin, id, key, content: { kind: 'unread' }, ticket, force, replayed })
    }
  }
}

function settledAfter(count: number, settle: () => void): Ticket {
  let left = count
  if (count === 0) settle()
  return {
    settle: () => {
      left -= 1
      if (left === 0) settle()
    },
  }
}
