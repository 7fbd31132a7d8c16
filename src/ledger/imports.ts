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
  /** What it holds; may be asked for several times. */
  entries(): AsyncIterable<readonly PartEntry[]>
}

/** Objects of one statement, where they are not copied. */
const maxGroup = 4_000

/** Writes imports to the ledger: each in one transaction, by COPY where nothing is known of its objects. */
export class ImportRecording {
  readonly #pool: pg.Pool
  readonly #schema: string

  /** @param options.schema the schema's name, unquoted. */
  constructor(options: { readonly pool: pg.Pool; readonly schema: string }) {
    this.#pool = options.pool
    this.#schema = pg.escapeIdentifier(options.schema)
  }

  /**
   * Records an import, and whatever else `within` writes in the same transaction.
   *
   * An object that another process has written since it was compared is left as that one has it: once the import has
   * succeeded, it is sent again.
   * @param within gives `false` to have nothing recorded.
   * @returns whether it was recorded.
   */
  async record(imported: AcceptedImport, within: (client: Queryable) => Promise<boolean>): Promise<boolean> {
    try {
      return await this.#inTransaction(imported, { within, copy: true })
    } catch (error) {
      // Another process was first with one of them: to look for conflicts before each insert costs as much as the inserts.
      if (!(error instanceof pg.DatabaseError) || error.code !== '23505') throw error
      return await this.#inTransaction(imported, { within, copy: false })
    }
  }

  async #inTransaction(
    imported: AcceptedImport,
    { within, copy }: { readonly within: (client: Queryable) => Promise<boolean>; readonly copy: boolean },
  ): Promise<boolean> {
    const client = await this.#pool.connect()
    let broken: Error | boolean = true
    try {
      await client.query('BEGIN')
      await this.#insertRequest(client, imported)
      await this.#copySubmissions(client, imported)
      if (copy) await this.#copyNew(client, imported)
      await this.#writeInGroups(client, imported, { inserts: !copy })
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

  async #copySubmissions(client: pg.PoolClient, imported: AcceptedImport): Promise<void> {
    const { namespace, requestId, acceptedAt } = imported
    const rest = `\t${[namespace, requestId, acceptedAt.toISOString()].map(copyValue).join('\t')}\n`
    const columns = 'object_id, key, namespace, request_id, submitted_at'
    await this.#copy(client, `submissions (${columns})`, imported, ({ id, key }) => `${id}\t${key}${rest}`)
  }

  /** Those of which nothing was known. */
  async #copyNew(client: pg.PoolClient, imported: AcceptedImport): Promise<void> {
    const { namespace, source, requestId, acceptedAt } = imported
    const rest = `\t${[namespace, source, 'accepted', requestId, acceptedAt.toISOString()].map(copyValue).join('\t')}\n`
    const columns = 'object_id, fingerprint, lsn, namespace, source, state, request_id, accepted_at'
    await this.#copy(client, `objects (${columns})`, imported, ({ id, fingerprint, lsn, expected }) =>
      expected === null ? `${id}\t${fingerprint}\t${lsn}${rest}` : '',
    )
  }

  async #copy(
    client: pg.PoolClient,
    target: string,
    imported: AcceptedImport,
    line: (entry: PartEntry) => string,
  ): Promise<void> {
    async function* buffers(): AsyncIterable<Buffer> {
      for await (const entries of imported.entries()) {
        let text = ''
        for (const entry of entries) text += line(entry)
        // The entries hold the manifest's bytes, one to a character.
        if (text !== '') yield Buffer.from(text, 'latin1')
      }
    }
    await pipeline(
      Readable.from(buffers(), { objectMode: false }),
      client.query(copyFrom(`COPY ${this.#schema}.${target} FROM STDIN`)),
    )
  }

  /** Those that were known, and where nothing was copied the others too. */
  async #writeInGroups(
    client: pg.PoolClient,
    imported: AcceptedImport,
    { inserts }: { readonly inserts: boolean },
  ): Promise<void> {
    for await (const entries of imported.entries()) {
      const wanted = entries.filter(({ expected }) => expected !== null || inserts)
      for (let at = 0; at < wanted.length; at += maxGroup) {
        await client.query(this.#groupSql(), groupValues(imported, wanted.slice(at, at + maxGroup)))
      }
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
