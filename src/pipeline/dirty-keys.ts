import { type DirtyKey, DirtyQueue, type DirtyQueueOptions, type Waiting } from '../capture/dirty.js'
import type { Arrival, Ticket } from '../delivery/ports.js'
import { partitions } from '../ledger/leases.js'
import { type ChangeCounts, noChanges } from './change-counts.js'
import type { Sources } from './sources.js'

interface DirtyKeysOptions extends Pick<DirtyQueueOptions, 'pool' | 'schema' | 'attend' | 'logger'> {
  readonly sources: Sources
  /** What an earlier process may have sent without recording it. */
  readonly doubts: KeyDoubts
  readonly arrive: (arrival: Arrival) => void
  readonly markTable: (source: string, ticket: Ticket) => void
  readonly changes?: ChangeCounts | undefined
}

export interface KeyDoubts {
  /** To be awaited before keys up to `seq` are worked; `null` where that is noted already. */
  cover(seq: bigint): Promise<void> | null
  isDoubted(key: Pick<DirtyKey, 'seq' | 'partition'>): boolean
}

/** From the keys in `dirty` to changes of objects: each key is one change for every mapping of its table. */
export class DirtyKeys {
  readonly #options: DirtyKeysOptions
  readonly #queue: DirtyQueue
  readonly #running: Promise<void>
  readonly #changes: ChangeCounts

  constructor(options: DirtyKeysOptions) {
    const { pool, schema, attend, logger } = options
    this.#options = options
    this.#changes = options.changes ?? noChanges()
    this.#queue = new DirtyQueue({
      pool,
      schema,
      partitions,
      sources: () => options.sources.all.filter((source) => source.misfit === null).map((source) => source.name),
      onKeys: (keys) => this.#onKeys(keys),
      attend,
      logger,
    })
    this.#running = this.#queue.run()
  }

  get inHand(): number {
    return this.#queue.inHand
  }

  inHandOf(partition: number): number {
    return this.#queue.inHandOf(partition)
  }

  peek(): Promise<Waiting> {
    return this.#queue.peek()
  }

  /** Looks at once. */
  wake(): void {
    this.#queue.wake()
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
    await this.#options.doubts.cover(keys.at(-1)?.seq ?? 0n)
    this.#changes.key += keys.length
    for (const key of keys) this.#onKey(key)
  }

  #onKey(dirty: DirtyKey): void {
    const { sources, arrive, markTable, doubts } = this.#options
    const { source: name, key, force } = dirty
    const targets = sources.get(name)?.targets ?? []
    const ticket = settledAfter(targets.length, dirty.settle)
    const replayed = doubts.isDoubted(dirty)
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
    kept: true,
    settle: () => {
      left -= 1
      if (left === 0) settle()
    },
  }
}
