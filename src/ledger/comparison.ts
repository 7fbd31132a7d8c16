import pg from 'pg'
import { type Queryable, textArray } from './postgres.js'

/** What the ledger says of an object. */
export interface LedgerState {
  readonly state: 'accepted' | 'parked' | 'dead'
  /** Of the content that was last accepted; `null` where none was, or where it is not known any more. */
  readonly fingerprint: string | null
  /** While it is parked or dead: of the content that was refused; `null` where none could be made of the row. */
  readonly refused: string | null
  /** Whether a request was ever accepted: else SafetyKit has never heard of it. */
  readonly known: boolean
}

export interface LedgerObject extends LedgerState {
  readonly id: string
}

/** Reads what the ledger knows, in bulk. */
export class Comparison {
  readonly #pool: Queryable
  readonly #objects: string

  /** @param options.schema the schema's name, unquoted. */
  constructor(options: { readonly pool: Queryable; readonly schema: string }) {
    this.#pool = options.pool
    this.#objects = `${pg.escapeIdentifier(options.schema)}.objects`
  }

  /**
   * Of some objects of a namespace, those that were not accepted with this very content, in one snapshot.
   * @returns by index, what is known of them; `null`: nothing.
   */
  async differing(
    namespace: string,
    objects: readonly { readonly id: string; readonly fingerprint: string | null }[],
  ): Promise<ReadonlyMap<number, LedgerState | null>> {
    const { rows } = await this.#pool.query({
      name: 'safetykit_differing',
      text: `SELECT (wanted.nr - 1)::integer AS index, ${stateColumns}
        FROM unnest($2::text[], $3::text[]) WITH ORDINALITY AS wanted (id, fingerprint, nr)
        LEFT JOIN ${this.#objects} AS o ON o.namespace = $1 AND o.object_id = wanted.id
        WHERE o.state IS DISTINCT FROM 'accepted' OR o.fingerprint IS DISTINCT FROM wanted.fingerprint
          OR wanted.fingerprint IS NULL`,
      values: [namespace, textArray(objects.map(({ id }) => id)), textArray(objects.map((one) => one.fingerprint))],
    })
    return new Map(rows.map((row) => [Number(row.index), row.state === null ? null : stateOf(row)]))
  }

  /** The objects of a namespace that come from a table, by their ids, after one of them. */
  async objectsAfter(
    { namespace, sources }: { readonly namespace: string; readonly sources: readonly string[] },
    after: string | null,
    limit: number,
  ): Promise<readonly LedgerObject[]> {
    const { rows } = await this.#pool.query(
      `SELECT o.object_id, ${stateColumns} FROM ${this.#objects} AS o
       WHERE o.namespace = $1 AND ($2::text IS NULL OR o.object_id > $2::text) AND o.source = ANY($3::text[])
       ORDER BY o.object_id LIMIT $4`,
      [namespace, after, sources, limit],
    )
    return rows.map((row) => ({ id: String(row.object_id), ...stateOf(row) }))
  }
}

const stateColumns = `o.state, o.fingerprint, o.error->>'fingerprint' AS refused, o.request_id IS NOT NULL AS known`

const stateOf = (row: Record<string, unknown>): LedgerState => ({
  state: row.state as LedgerState['state'],
  fingerprint: row.fingerprint === null ? null : String(row.fingerprint),
  refused: row.refused === null ? null : String(row.refused),
  known: row.known === true,
})
