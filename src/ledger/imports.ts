import pg from 'pg'
import type { ManifestSlice } from '../delivery/import/manifest.js'
import type { Queryable } from './postgres.js'

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
  readonly slice: ManifestSlice
  /** With the last ones the request is recorded: whoever looks at it finds all of its objects. */
  readonly last: boolean
  readonly moving: Moving
}

/**
 * What is done in the same statement: SQL that returns a row, else nothing is written. `first` is the number of its first
 * parameter.
 */
export type Moving = (first: number) => { readonly sql: string; readonly values: readonly unknown[] }

/**
 * Writes imports to the ledger, a slice in one statement: each round trip has to wait for a process that is busy with the
 * next rows. Arrays, not COPY: what all objects share is sent, and parsed, once.
 */
export class ImportRecording {
  readonly #pool: Queryable
  readonly #schema: string

  /** @param options.schema the schema's name, unquoted. */
  constructor(options: { readonly pool: Queryable; readonly schema: string }) {
    this.#pool = options.pool
    this.#schema = pg.escapeIdentifier(options.schema)
  }

  /**
   * Records some objects of an import. One that another process has written since it was compared is left as that one has
   * it: once the import has succeeded, it is sent again.
   * @returns whether they were recorded.
   */
  async record(imported: AcceptedImport, { slice, last, moving }: ImportSlice): Promise<boolean> {
    const values = valuesOf(imported, slice)
    const { sql, values: more } = moving(values.length + 1)
    const write = async (objects: string): Promise<boolean> => {
      const text = this.#statement({ moving: sql, last, objects })
      const { rows } = await this.#pool.query(text, [...values, ...more])
      return rows[0]?.moved === true
    }
    try {
      if (slice.expected === null) return await write(this.#insertNew())
    } catch (error) {
      // Another process was first with one of them: to look for conflicts before each insert costs as much as the inserts.
      if (!(error instanceof pg.DatabaseError) || error.code !== '23505') throw error
    }
    return write(this.#writeAny())
  }

  #statement({ moving, last, objects }: { moving: string; last: boolean; objects: string }): string {
    const request = `, request AS (
      INSERT INTO ${this.#schema}.requests
        (request_id, namespace, kind, object_count, status, object_key, created_at, updated_at)
      SELECT $3, $1, 'import', $6::integer, 'accepted', $5, $4::timestamptz, $4::timestamptz WHERE EXISTS (SELECT FROM moved))`
    // Each parameter is named, since one that is not has no type.
    return `
      WITH moved AS (${moving})${last ? request : ', request AS (SELECT $5::text, $6::integer)'}, ${objects}
      SELECT EXISTS (SELECT FROM moved) AS moved`
  }

  /**
   * Where all are new. Each table reads the arrays for itself, in its select list: so nothing is kept of them in between, and
   * a slice costs the server 7 % less.
   */
  #insertNew(): string {
    const isToBe = 'EXISTS (SELECT FROM moved) AND $11::text[] IS NULL'
    return `
      ${this.#submit(`(SELECT unnest($7::text[]) AS object_id, unnest($10::text[]) AS key) AS object WHERE ${isToBe}`)},
      ${this.#insert(`(
        SELECT unnest($7::text[]) AS object_id, unnest($8::text[]) AS fingerprint, unnest($9::text[]) AS lsn
      ) AS object WHERE ${isToBe}`)}`
  }

  /**
   * As `recordAny` does: `expected` is the request that the ledger had when the object was compared, '' for none. Compared with
   * the namespace of each, a planner without statistics cannot take them all for few and go through them once for each.
   */
  #writeAny(): string {
    return `
      object AS MATERIALIZED (
        SELECT $1::text AS namespace, object_id, fingerprint, lsn, key, expected
        FROM unnest($7::text[], $8::text[], $9::text[], $10::text[], $11::text[])
          AS o (object_id, fingerprint, lsn, key, expected)
        WHERE EXISTS (SELECT FROM moved)
      ), ${this.#submit('object')}, ${this.#insert('object WHERE expected IS NULL ON CONFLICT DO NOTHING')}, updated AS (
      UPDATE ${this.#schema}.objects AS known
      SET source = $2, state = 'accepted', request_id = $3, fingerprint = object.fingerprint, accepted_at = $4::timestamptz,
          lsn = object.lsn::pg_lsn, attempts = 0, retry_at = NULL, error = NULL, key = NULL
      FROM object
      WHERE object.expected IS NOT NULL AND known.namespace = object.namespace AND known.object_id = object.object_id
        AND coalesce(known.request_id, '') = object.expected)`
  }

  #submit(from: string): string {
    return `submitted AS (
      INSERT INTO ${this.#schema}.submissions (namespace, object_id, request_id, submitted_at, key)
      SELECT $1, object_id, $3, $4::timestamptz, key::jsonb FROM ${from})`
  }

  #insert(from: string): string {
    const columns = 'namespace, object_id, source, state, request_id, fingerprint, accepted_at, lsn'
    return `inserted AS (
      INSERT INTO ${this.#schema}.objects (${columns})
      SELECT $1, object_id, $2, 'accepted', $3, fingerprint, $4::timestamptz, lsn::pg_lsn FROM ${from})`
  }
}

function valuesOf(
  { namespace, source, requestId, acceptedAt, objectKey, objectCount }: AcceptedImport,
  { ids, fingerprints, lsns, keys, expected }: ManifestSlice,
): unknown[] {
  const common = [namespace, source, requestId, acceptedAt.toISOString(), objectKey, objectCount]
  return [...common, ids, fingerprints, lsns, keys, expected]
}
