import { escapeIdentifier } from 'pg'
import { SyncError } from '../../errors.js'
import type { PrismaInternals, Transaction } from './prisma-client.js'

/** A key in Postgres' text format: what `dirty.key` holds. */
export type EntryKey = Readonly<Record<string, string | null>>

/** What goes into `dirty`: keys by source; `null` in their place marks the whole table. */
export type Entries = readonly (readonly [source: string, keys: readonly EntryKey[] | null])[]

/** A parameter of a statement stays small, whatever the number of rows. */
const maxKeys = 10_000

/** Writes into `dirty`, inside a transaction of the application. */
export class DirtyEntries {
  readonly #client: PrismaInternals
  readonly #one: string
  readonly #many: string
  readonly #schema: string

  constructor(client: PrismaInternals, schema: string) {
    const into = `INSERT INTO ${escapeIdentifier(schema)}.dirty (source, key)`
    this.#client = client._originalClient
    this.#schema = schema
    // With one row the other form costs 80 µs more.
    this.#one = `${into} VALUES ($1, $2::jsonb)`
    this.#many = `${into} SELECT $1, pg_catalog.jsonb_array_elements($2::jsonb)`
  }

  /** @throws SyncError when the side tables are missing; what Prisma throws otherwise. */
  async add(entries: Entries, transaction: Transaction): Promise<void> {
    for (const [source, keys] of entries) {
      if (keys === null) await this.#insert(this.#one, source, null, transaction)
      else if (keys.length === 1) await this.#insert(this.#one, source, keys[0], transaction)
      else {
        for (let at = 0; at < keys.length; at += maxKeys) {
          await this.#insert(this.#many, source, keys.slice(at, at + maxKeys), transaction)
        }
      }
    }
  }

  async checkConstraintsAtOnce(transaction: Transaction): Promise<void> {
    await this.#client.$executeRawUnsafe('SET CONSTRAINTS ALL IMMEDIATE').requestTransaction(transaction)
  }

  async #insert(sql: string, source: string, value: unknown, transaction: Transaction): Promise<void> {
    const json = value === null ? null : JSON.stringify(value)
    try {
      await this.#client.$executeRawUnsafe(sql, source, json).requestTransaction(transaction)
    } catch (error) {
      const state = sqlState(error)
      if (state === undefined || !unfit.has(state)) throw error
      throw new SyncError(
        'SCHEMA_OUTDATED',
        `The write was rolled back: its key cannot be recorded in ${this.#schema}.dirty`,
        {
          cause: error,
          hint: `Run: safetykit-sync migrate. The application's role needs USAGE on the schema ${this.#schema} and INSERT on its table dirty`,
        },
      )
    }
  }
}

/** Undefined table, undefined schema, undefined column, insufficient privilege. */
const unfit = new Set(['42P01', '3F000', '42703', '42501'])

/** The SQLSTATE of a raw query's error: `meta.code` on Prisma 6, the driver's error in `meta` on 7. */
export function sqlState(error: unknown): string | undefined {
  const at = (value: unknown, name: string): unknown =>
    typeof value === 'object' && value !== null ? Reflect.get(value, name) : undefined
  const meta = at(error, 'meta')
  const state = at(at(at(meta, 'driverAdapterError'), 'cause'), 'originalCode') ?? at(meta, 'code')
  return typeof state === 'string' ? state : undefined
}
