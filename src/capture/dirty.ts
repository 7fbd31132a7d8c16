import { escapeIdentifier } from 'pg'
import type { Logger } from '../logger.js'
import type { RowKey } from './change.js'

/** A key that waits in `dirty`. */
export interface DirtyKey {
  readonly seq: bigint
  readonly source: string
  readonly key: RowKey
  readonly force: boolean
  /** To be called once all that follows from the key is durable: then it is deleted. */
  readonly settle: () => void
}

export interface DirtyQueueOptions {
  readonly pool: DirtyStore
  /** The side tables' schema, unquoted. */
  readonly schema: string
  /** Takes keys over. */
  readonly onKeys: (keys: readonly DirtyKey[]) => Promise<void>
  /** The tables whose keys can be worked now: a key whose table does not fit its mapping waits. */
  readonly sources: () => readonly string[]
  readonly logger: Logger
  /** Keys taken over and not settled, at most. Default: 1,000. */
  readonly maxInHand?: number
  /** The wait between two looks while nothing comes. Default: 1,000. */
  readonly pollMs?: number
}

export interface DirtyStore {
  query(text: string, values?: unknown[]): Promise<{ rows: Record<string, unknown>[] }>
}

/**
 * Users write keys by hand: a number arrives as its digits (JavaScript would round a large one), and what is no object at
 * all as a key without columns.
 */
const keyAsTexts = `CASE WHEN pg_catalog.jsonb_typeof(d.key) = 'object' THEN
  (SELECT coalesce(pg_catalog.jsonb_object_agg(k.key, k.value), '{}') FROM pg_catalog.jsonb_each_text(d.key) AS k)
  ELSE '{}' END`

/**
 * Works off the keys in `dirty`: hands them over in the order of their marks, and deletes each by its `seq` once settled.
 * Rows are read without locking and a writer only ever inserts, so it can never wait for us.
 */
export class DirtyQueue {
  readonly #options: DirtyQueueOptions
  readonly #select: string
  readonly #delete: string
  readonly #maxInHand: number
  readonly #inHand = new Set<string>()
  #settled: string[] = []
  #wake: (() => void) | null = null
  #stopped = false

  constructor(options: DirtyQueueOptions) {
    const table = `${escapeIdentifier(options.schema)}.dirty`
    this.#options = options
    this.#maxInHand = options.maxInHand ?? 1_000
    this.#select = `SELECT seq, source, ${keyAsTexts} AS key, force FROM ${table} AS d
      WHERE key IS NOT NULL AND source = ANY($1::text[]) AND seq <> ALL($2::bigint[]) ORDER BY seq LIMIT $3`
    this.#delete = `DELETE FROM ${table} WHERE seq = ANY($1::bigint[])`
  }

  /** Runs until {@link stop}. */
  async run(): Promise<void> {
    while (!this.#stopped) {
      let found = 0
      try {
        await this.#deleteSettled()
        found = await this.#takeOver()
      } catch (error) {
        this.#options.logger.error('Dirty keys could not be read, trying again', { error })
      }
      if (found === 0) await this.#wait()
    }
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

  async #takeOver(): Promise<number> {
    const room = this.#maxInHand - this.#inHand.size
    if (room <= 0) return 0
    const { rows } = await this.#options.pool.query(this.#select, [this.#options.sources(), [...this.#inHand], room])
    const keys = rows.map((row) => this.#take(row))
    if (keys.length > 0) await this.#options.onKeys(keys)
    return keys.length
  }

  #take(row: Record<string, unknown>): DirtyKey {
    const seq = String(row.seq)
    this.#inHand.add(seq)
    return {
      seq: BigInt(seq),
      source: String(row.source),
      key: row.key as RowKey,
      force: row.force === true,
      settle: () => this.#settle(seq),
    }
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
    for (const seq of settled) this.#inHand.delete(seq)
    this.#settled = this.#settled.slice(settled.length)
  }

  #wait(): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        clearTimeout(timer)
        this.#wake = null
        resolve()
      }
      const timer = setTimeout(wake, this.#options.pollMs ?? 1_000)
      this.#wake = wake
      if (this.#settled.length > 0 || this.#stopped) wake()
    })
  }
}
