import pg from 'pg'
import type { PartEntry } from '../delivery/import/manifest.js'
import { type Queryable, textArray } from './postgres.js'

/** An import that was uploaded. */
export interface AcceptedImport {
  readonly namespace: string
  readonly source: string
  readonly requestId: string
  readonly objectKey: string
  readonly objectCount: number
  readonly acceptedAt: Date
}

/** Some thousand objects of an import. */
export interface ImportSlice {
  readonly entries: readonly PartEntry[]
  /** With the last ones the request is recorded: whoever looks at it finds all of its objects. */
  readonly last: boolean
  /** Writes more in the same transaction; gives `false` to have nothing written. */
  readonly within: (client: Queryable) => Promise<boolean>
}

/** Writes imports to the ledger. Arrays, not COPY: what all objects share is sent, and parsed, once (a quarter cheaper). */
export class ImportRecording {
  readonly #pool: pg.Pool
  readonly #request: string
  readonly #new: string
  readonly #any: string

  /** @param options.schema the schema's name, unquoted. */
  constructor(options: { readonly pool: pg.Pool; readonly schema: string }) {
    const schema = pg.escapeIdentifier(options.schema)
    const columns = 'namespace, object_id, source, state, request_id, fingerprint, accepted_at, lsn'
    const values = `$1, object_id, $2, 'accepted', $3, fingerprint, $4::timestamptz, lsn`
    const submitted = `
      object AS (
        SELECT * FROM unnest($5::text[], $6::text[], $7::pg_lsn[], $8::jsonb[], $9::text[])
          AS o (object_id, fingerprint, lsn, key, expected)
      ), submitted AS (
        INSERT INTO ${schema}.submissions (namespace, object_id, request_id, submitted_at, key)
        SELECT $1, object_id, $3, $4::timestamptz, key FROM object
      )`
    this.#pool = options.pool
    this.#request = `
      INSERT INTO ${schema}.requests
        (request_id, namespace, kind, object_count, status, object_key, created_at, updated_at)
      VALUES ($1, $2, 'import', $3, 'accepted', $4, $5, $5)`
    this.#new = `WITH ${submitted} INSERT INTO ${schema}.objects (${columns}) SELECT ${values} FROM object`
    // As `recordAny` does: `expected` is the request that the ledger had when the object was compared, '' for none.
    this.#any = `
      WITH ${submitted}, inserted AS (
        INSERT INTO ${schema}.objects (${columns}) SELECT ${values} FROM object WHERE expected IS NULL
        ON CONFLICT DO NOTHING
      )
      UPDATE ${schema}.objects AS known
      SET source = $2, state = 'accepted', request_id = $3, fingerprint = object.fingerprint, accepted_at = $4::timestamptz,
          lsn = object.lsn, attempts = 0, retry_at = NULL, error = NULL, key = NULL
      FROM object
      WHERE object.expected IS NOT NULL AND known.namespace = $1 AND known.object_id = object.object_id
        AND coalesce(known.request_id, '') = object.expected`
  }

  /**
   * Records some objects of an import. One that another process has written since it was compared is left as that one has
   * it: once the import has succeeded, it is sent again.
   *
   * They are written in the order of their ids, as receipts are: of two that wait for each other's objects, one would fail.
   * @returns whether they were recorded.
   */
  async record(imported: AcceptedImport, slice: ImportSlice): Promise<boolean> {
    const entries = [...slice.entries].sort((a, b) => (a.id < b.id ? -1 : 1))
    const values = valuesOf(imported, entries)
    const isNew = entries.every(({ expected }) => expected === null)
    try {
      if (isNew) {
        return await this.#inTransaction(imported, slice, { name: 'safetykit_import_new', text: this.#new, values })
      }
    } catch (error) {
      // Another process was first with one of them: to look for conflicts before each insert costs as much as the inserts.
      if (!(error instanceof pg.DatabaseError) || error.code !== '23505') throw error
    }
    return this.#inTransaction(imported, slice, { name: 'safetykit_import_any', text: this.#any, values })
  }

  async #inTransaction(
    { requestId, namespace, objectCount, objectKey, acceptedAt }: AcceptedImport,
    { last, within }: ImportSlice,
    objects: { readonly name: string; readonly text: string; readonly values: unknown[] },
  ): Promise<boolean> {
    const client = await this.#pool.connect()
    let broken = true
    try {
      await client.query('BEGIN')
      if (last) {
        const request = [requestId, namespace, objectCount, objectKey, acceptedAt.toISOString()]
        await client.query(this.#request, request)
      }
      await client.query(objects)
      const wanted = await within(client)
      await client.query(wanted ? 'COMMIT' : 'ROLLBACK')
      broken = false
      return wanted
    } catch (error) {
      if (error instanceof pg.DatabaseError) {
        await client.query('ROLLBACK')
        broken = false
      }
      throw error
    } finally {
      client.release(broken)
    }
  }
}

function valuesOf(
  { namespace, source, requestId, acceptedAt }: AcceptedImport,
  entries: readonly PartEntry[],
): unknown[] {
  const texts = (of: (entry: PartEntry) => string | null): string => textArray(entries.map(of))
  return [
    namespace,
    source,
    requestId,
    acceptedAt.toISOString(),
    texts(({ id }) => id),
    texts(({ fingerprint }) => fingerprint),
    texts(({ lsn }) => lsn),
    texts(({ key }) => key),
    texts(({ expected }) => expected),
  ]
}
