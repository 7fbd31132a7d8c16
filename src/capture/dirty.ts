import { escapeIdentifier } from 'pg'
import type { Logger } from '../logger.js'
import type { RowKey } from './change.js'

/** A key that waits in `dirty`. */
export interface DirtyKey {
  readonly seq: bigint
  readonly source: string
  readonly key: RowKey
  readonly force: boolean
  /** The part of the key space that it is in; always the same for one row. */
  readonly partition: number
  /** To be called once all that follows from the key is durable: then it is deleted. */
  readonly settle: () => void
}

export interface DirtyQueueOptions {
  readonly pool: DirtyStore
  /** The side tables' schema, unquoted. */
  readonly schema: string
  /** How many parts the key space has: a power of two. */
  readonly partitions: number
  /** Takes keys over. */
  readonly onKeys: (keys: readonly DirtyKey[]) => Promise<void>
  /** The tables whose keys can be worked now: a key whose table does not fit its mapping waits. */
  readonly sources: () => readonly string[]
  /** Called before each look; `woken`: because something was written just now. */
  readonly attend: (woken: boolean) => Promise<Attendance>
  readonly logger: Logger
  /** Keys taken over and not settled, at most; of one table half of them. Default: 4,000. */
  readonly maxInHand?: number
}

/** Which keys may be taken over now. */
export interface Attendance {
  readonly partitions: readonly number[]
  /** Keys wait that another worker has, and may have to give up: the next look is to be soon. */
  readonly wanting: boolean
}

export interface DirtyStore {
  query(text: string, values?: unknown[]): Promise<{ rows: Record<string, unknown>[] }>
}

/** What waits, of the oldest keys. */
export interface Waiting {
  readonly partitions: readonly number[]
  /** The newest `seq`; 0 where nothing waits. */
  readonly newest: bigint
}

/** The wait between two looks: short after something was found, twice as long with each look that finds nothing. */
const busyPollMs = 250
const idlePollMs = 2_000
/** The keys that a look for work considers: enough to find what is free, and cheap in a long backlog. */
const maxWaiting = 10_000

/**
 * Users write keys by hand: a number arrives as its digits (JavaScript would round a large one), and what is no object at
 * all as a key without columns.
 */
export const keyAsTexts = `CASE WHEN pg_catalog.jsonb_typeof(d.key) = 'object' THEN
  (SELECT coalesce(pg_catalog.jsonb_object_agg(k.key, k.value), '{}') FROM pg_catalog.jsonb_each_text(d.key) AS k)
  ELSE '{}' END`

/** Without quotes, so that a key written by hand as a number is in the partition of the same key as text. */
const partitionOf = (partitions: number): string =>
  `(pg_catalog.hashtext(d.source || pg_catalog.translate(d.key::text, '"', '')) & ${partitions - 1})`

/**
 * Works off the keys in `dirty`: hands them over in the order of their marks, and deletes each by its `seq` once settled.
 * Rows are read without locking and a writer only ever inserts, so it can never wait for us.
 */
export class DirtyQueue {
  readonly #options: DirtyQueueOptions
  readonly #select: string
  readonly #peek: string
  readonly #delete: string
  readonly #maxInHand: number
  readonly #inHand = new Map<string, { readonly partition: number; readonly source: string }>()
  readonly #inHandOf: number[]
  readonly #inHandOfSource = new Map<string, number>()
  #settled: string[] = []
  #pollMs = busyPollMs
  #woken = false
  #wake: (() => void) | null = null
  #stopped = false

  constructor(options: DirtyQueueOptions) {
    const table = `${escapeIdentifier(options.schema)}.dirty`
    const partition = partitionOf(options.partitions)
    this.#options = options
    this.#maxInHand = options.maxInHand ?? 4_000
    this.#inHandOf = Array.from({ length: options.partitions }, () => 0)
    this.#select = `SELECT seq, source, ${keyAsTexts} AS key, force, ${partition} AS partition FROM ${table} AS d
      WHERE key IS NOT NULL AND source = ANY($1::text[]) AND seq <> ALL($2::bigint[]) AND ${partition} = ANY($4::integer[])
      ORDER BY seq LIMIT $3`
    this.#peek = `SELECT array_agg(DISTINCT partition) AS partitions, max(seq)::text AS newest
      FROM (SELECT seq, ${partition} AS partition FROM ${table} AS d
        WHERE key IS NOT NULL AND source = ANY($1::text[]) ORDER BY seq LIMIT ${maxWaiting}) AS oldest`
    this.#delete = `DELETE FROM ${table} WHERE seq = ANY($1::bigint[])`
  }

  /** Keys that were taken over and are not deleted yet. */
  get inHand(): number {
    return this.#inHand.size
  }

  /** The same, of one partition. */
  inHandOf(partition: number): number {
    return this.#inHandOf[partition] ?? 0
  }

  /** Looks which partitions have keys that could be worked now. */
  async peek(): Promise<Waiting> {
    const { rows } = await this.#options.pool.query(this.#peek, [this.#options.sources()])
    const [row] = rows
    return { partitions: (row?.partitions ?? []) as number[], newest: BigInt(String(row?.newest ?? 0)) }
  }

  /** Runs until {@link stop}. */
  async run(): Promise<void> {
    while (!this.#stopped) {
      const woken = this.#woken
      this.#woken = false
      let found = 0
      try {
        await this.#deleteSettled()
        found = await this.#takeOver(woken)
      } catch (error) {
        this.#options.logger.error('Dirty keys could not be read, trying again', { error })
      }
      if (found > 0) this.#pollMs = busyPollMs
      else await this.#wait()
    }
  }

  /** Looks at once. */
  wake(): void {
    this.#pollMs = busyPollMs
    this.#woken = true
    this.#wake?.()
  }

  /** Takes over no more keys. Those in hand stay in `dirty` until they are settled and {@link flush} has run. */
  stop(): void {
    this.#stopped = true
    this.#wake?.()
  }

  /** Deletes what is settled. */
  async flush(): Promise<void> {
    await this.#deleteSettled()
  }

  async #takeOver(woken: boolean): Promise<number> {
    const { partitions, wanting } = await this.#options.attend(woken)
    if (wanting) this.#pollMs = busyPollMs
    const room = this.#maxInHand - this.#inHand.size
    if (room <= 0 || partitions.length === 0 || this.#stopped) return 0
    const sources = this.#options.sources().filter((source) => this.#inHandFrom(source) < room)
    if (sources.length === 0) return 0
    // Half of what is left, so that no table's keys take it all.
    const values = [sources, [...this.#inHand.keys()], Math.ceil(room / 2), partitions]
    const { rows } = await this.#options.pool.query(this.#select, values)
    const keys = rows.map((row) => this.#take(row))
    try {
      if (keys.length > 0) await this.#options.onKeys(keys)
    } catch (error) {
      // None of them is worked: the next look is to find them again.
      for (const { seq } of keys) this.#letGo(String(seq))
      throw error
    }
    return keys.length
  }

  #take(row: Record<string, unknown>): DirtyKey {
    const seq = String(row.seq)
    const partition = Number(row.partition)
    const source = String(row.source)
    this.#inHand.set(seq, { partition, source })
    this.#inHandOf[partition] = this.inHandOf(partition) + 1
    this.#inHandOfSource.set(source, this.#inHandFrom(source) + 1)
    return {
      seq: BigInt(seq),
      source,
      key: row.key as RowKey,
      force: row.force === true,
      partition,
      settle: () => this.#settle(seq),
    }
  }

  /**
   * A table may have as many in hand as there is room left: the only one half of all, and one whose keys cannot be settled
   * for now, because of its namespace, leaves the others enough.
   */
  #inHandFrom(source: string): number {
    return this.#inHandOfSource.get(source) ?? 0
  }

  #settle(seq: string): void {
    this.#settled.push(seq)
    this.#wake?.()
  }

  async #deleteSettled(): Promise<void> {
    // A copy: more are settled while these are deleted.
    const settled = [...this.#settled]
    if (settled.length === 0) return
    await this.#options.pool.query(this.#delete, [settled])
    // Only now: a key that was settled but is not deleted yet would be taken over again.
    for (const seq of settled) this.#letGo(seq)
    this.#settled = this.#settled.slice(settled.length)
  }

  #letGo(seq: string): void {
    const key = this.#inHand.get(seq)
    if (key === undefined) return
    const { partition, source } = key
    this.#inHand.delete(seq)
    this.#inHandOf[partition] = this.inHandOf(partition) - 1
    this.#inHandOfSource.set(source, this.#inHandFrom(source) - 1)
  }

  #wait(): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        clearTimeout(timer)
        this.#wake = null
        resolve()
      }
      // It alone keeps no process alive: the keys stay for the next one.
      const timer = setTimeout(wake, this.#pollMs).unref()
      this.#pollMs = Math.min(idlePollMs, this.#pollMs * 2)
      this.#wake = wake
      if (this.#settled.length > 0 || this.#stopped || this.#woken) wake()
    })
  }
}
