import { escapeIdentifier } from 'pg'
import type { RowKey } from '../capture/change.js'
import { keyAsTexts } from '../capture/dirty.js'
import type { Queryable } from '../ledger/postgres.js'

/** What waits in `dirty` at one moment. */
export interface WaitingKeys {
  /** All of it has a `seq` up to here; `null` where nothing waits. */
  readonly through: string | null
  /** The oldest keys, by table. */
  readonly keys: readonly { readonly source: string; readonly key: RowKey }[]
  /** The tables that are marked as a whole. */
  readonly marked: readonly string[]
}

/** Whose objects are looked up afterwards. */
const maxKeys = 10_000

/** Looks at the keys that wait, and takes none. */
export class WaitingKeysView {
  readonly #db: Queryable
  readonly #dirty: string
  readonly #scans: string

  constructor(db: Queryable, schema: string) {
    const side = escapeIdentifier(schema)
    this.#db = db
    this.#dirty = `${side}.dirty`
    this.#scans = `${side}.scans`
  }

  /** @param sources only of these tables; default: all. */
  async now(sources?: readonly string[]): Promise<WaitingKeys> {
    const of = sources === undefined ? 'true' : 'd.source = ANY ($2::text[])'
    const values = sources === undefined ? [maxKeys] : [maxKeys, sources]
    // One statement, so that it is one moment.
    const { rows } = await this.#db.query(
      `SELECT (SELECT max(d.seq)::text FROM ${this.#dirty} AS d WHERE ${of}) AS through,
         (SELECT coalesce(pg_catalog.array_agg(DISTINCT d.source), '{}')
            FROM ${this.#dirty} AS d WHERE d.key IS NULL AND ${of}) AS marked,
         oldest.source, oldest.key
       FROM (SELECT 1) AS one LEFT JOIN (
         SELECT d.source, (${keyAsTexts})::text AS key FROM ${this.#dirty} AS d WHERE d.key IS NOT NULL AND ${of}
         ORDER BY d.seq LIMIT $1) AS oldest ON true`,
      values,
    )
    return {
      through: rows[0]?.through == null ? null : String(rows[0].through),
      marked: (rows[0]?.marked ?? []) as readonly string[],
      keys: rows.flatMap(({ source, key }) =>
        source === null ? [] : [{ source: String(source), key: JSON.parse(String(key)) as RowKey }],
      ),
    }
  }

  /** Whether none of them is left. */
  async areGone(through: string): Promise<boolean> {
    const { rowCount } = await this.#db.query(`SELECT FROM ${this.#dirty} WHERE seq <= $1 LIMIT 1`, [through])
    return rowCount === 0
  }

  async count(through: string): Promise<number> {
    const { rows } = await this.#db.query(`SELECT count(*)::text AS count FROM ${this.#dirty} WHERE seq <= $1`, [
      through,
    ])
    return Number(rows[0]?.count ?? 0)
  }

  /** How many of these tables are being scanned. */
  async scansOf(sources: readonly string[]): Promise<number> {
    const { rowCount } = await this.#db.query(
      `SELECT FROM ${this.#scans} WHERE source = ANY ($1::text[]) AND finished_at IS NULL`,
      [sources],
    )
    return rowCount ?? 0
  }
}
