import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import pg from 'pg'
import { from as copyFrom } from 'pg-copy-streams'
import { copyValue, parseCopyValue } from '../copy-text.js'
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

/** Some objects of an import. */
export interface ImportSlice {
  readonly entries: readonly PartEntry[]
  /** With the last ones the request is recorded: whoever looks at it finds all of its objects. */
  readonly last: boolean
  /** Writes more in the same transaction; gives `false` to have nothing written. */
  readonly within: (client: Queryable) => Promise<boolean>
}

/** Objects of one statement, where they are not copied. */
const maxGroup = 4_000
/** Lines that are handed to Postgres at once. */
const linesAtOnce = 1_000

/** Writes imports to the ledger, some thousand objects a transaction, by COPY where nothing is known of them. */
export class ImportRecording {
  readonly #pool: pg.Pool
  readonly #schema: string

  /** @param options.schema the schema's name, unquoted. */
  constructor(options: { readonly pool: pg.Pool; readonly schema: string }) {
    this.#pool = options.pool
    this.#schema = pg.escapeIdentifier(options.schema)
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
    const sorted = { ...slice, entries }
    try {
      return await this.#inTransaction(imported, sorted, { copy: true })
    } catch (error) {
      // Another process was first with one of them: to look for conflicts before each insert costs as much as the inserts.
      if (!(error instanceof pg.DatabaseError) || error.code !== '23505') throw error
      return await this.#inTransaction(imported, sorted, { copy: false })
    }
  }

  async #inTransaction(
    imported: AcceptedImport,
    { entries, last, within }: ImportSlice,
    { copy }: { readonly copy: boolean },
  ): Promise<boolean> {
    const client = await this.#pool.connect()
    let broken = true
    try {
      await client.query('BEGIN')
      if (last) await this.#insertRequest(client, imported)
      await this.#copySubmissions(client, imported, entries)
      const isNew = ({ expected }: PartEntry): boolean => expected === null
      if (copy) await this.#copyNew(client, imported, entries.filter(isNew))
      await this.#writeInGroups(client, imported, copy ? entries.filter((entry) => !isNew(entry)) : entries)
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

  async #insertRequest(client: pg.PoolClient, imported: AcceptedImport): Promise<void> {
    const { requestId, namespace, objectCount, objectKey, acceptedAt } = imported
    await client.query(
      `INSERT INTO ${this.#schema}.requests
         (request_id, namespace, kind, object_count, status, object_key, created_at, updated_at)
       VALUES ($1, $2, 'import', $3, 'accepted', $4, $5, $5)`,
      [requestId, namespace, objectCount, objectKey, acceptedAt.toISOString()],
    )
  }

  async #copySubmissions(
    client: pg.PoolClient,
    { namespace, requestId, acceptedAt }: AcceptedImport,
    entries: readonly PartEntry[],
  ): Promise<void> {
    const rest = `\t${[namespace, requestId, acceptedAt.toISOString()].map(copyValue).join('\t')}\n`
    const columns = 'object_id, key, namespace, request_id, submitted_at'
    await this.#copy(client, `submissions (${columns})`, entries, ({ id, key }) => `${id}\t${key}${rest}`)
  }

  /** Those of which nothing was known. */
  async #copyNew(
    client: pg.PoolClient,
    { namespace, source, requestId, acceptedAt }: AcceptedImport,
    entries: readonly PartEntry[],
  ): Promise<void> {
    const rest = `\t${[namespace, source, 'accepted', requestId, acceptedAt.toISOString()].map(copyValue).join('\t')}\n`
    const columns = 'object_id, fingerprint, lsn, namespace, source, state, request_id, accepted_at'
    const line = ({ id, fingerprint, lsn }: PartEntry): string => `${id}\t${fingerprint}\t${lsn}${rest}`
    await this.#copy(client, `objects (${columns})`, entries, line)
  }

  async #copy(
    client: pg.PoolClient,
    target: string,
    entries: readonly PartEntry[],
    line: (entry: PartEntry) => string,
  ): Promise<void> {
    if (entries.length === 0) return
    function* buffers(): Iterable<Buffer> {
      for (let at = 0; at < entries.length; at += linesAtOnce) {
        let text = ''
        for (const entry of entries.slice(at, at + linesAtOnce)) text += line(entry)
        // The entries hold the manifest's bytes, one to a character; what is added to them is ASCII.
        yield Buffer.from(text, 'latin1')
      }
    }
    await pipeline(
      Readable.from(buffers(), { objectMode: false }),
      client.query(copyFrom(`COPY ${this.#schema}.${target} FROM STDIN`)),
    )
  }

  async #writeInGroups(client: pg.PoolClient, imported: AcceptedImport, entries: readonly PartEntry[]): Promise<void> {
    for (let at = 0; at < entries.length; at += maxGroup) {
      await client.query(this.#groupSql(), groupValues(imported, entries.slice(at, at + maxGroup)))
    }
  }

  /** As `recordAny` does: `expected` is the request that the ledger had when the object was compared, '' for none. */
  #groupSql(): string {
    return `
      WITH object AS (
        SELECT * FROM unnest($5::text[], $6::text[], $7::pg_lsn[], $8::text[]) AS o (object_id, fingerprint, lsn, expected)
      ), inserted AS (
        INSERT INTO ${this.#schema}.objects
          (namespace, object_id, source, state, request_id, fingerprint, accepted_at, lsn)
        SELECT $1, object_id, $2, 'accepted', $3, fingerprint, $4, lsn FROM object WHERE expected IS NULL
        ON CONFLICT DO NOTHING
      )
      UPDATE ${this.#schema}.objects AS known
      SET source = $2, state = 'accepted', request_id = $3, fingerprint = object.fingerprint, accepted_at = $4,
          lsn = object.lsn, attempts = 0, retry_at = NULL, error = NULL, key = NULL
      FROM object
      WHERE object.expected IS NOT NULL AND known.namespace = $1 AND known.object_id = object.object_id
        AND coalesce(known.request_id, '') = object.expected`
  }
}

function groupValues(
  { namespace, source, requestId, acceptedAt }: AcceptedImport,
  entries: readonly PartEntry[],
): unknown[] {
  const texts = (of: (entry: PartEntry) => string | null): string =>
    textArray(entries.map((entry) => parseCopyValue(of(entry))))
  return [
    namespace,
    source,
    requestId,
    acceptedAt.toISOString(),
    texts(({ id }) => id),
    texts(({ fingerprint }) => fingerprint),
    texts(({ lsn }) => lsn),
    texts(({ expected }) => expected),
  ]
}
