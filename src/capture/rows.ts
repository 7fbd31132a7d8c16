import { escapeIdentifier } from 'pg'
import { bounded } from '../bounded-query.js'
import type { RowKey } from './change.js'

/** Where rows are looked up by key. */
export interface RowTable {
  readonly schema: string
  readonly name: string
  /** The primary key, in its order. */
  readonly key: readonly KeyColumn[]
}

export interface KeyColumn {
  readonly name: string
  /** The SQL name of its type, quoted and with its schema; for a domain, of its base type. */
  readonly type: string
  /** The equality that the key's index serves, as SQL: `OPERATOR(pg_catalog.=)`. */
  readonly equals: string
  /** Its "greater than": `OPERATOR(pg_catalog.>)`. */
  readonly greater: string
}

/** Values in Postgres' text format, in the order of the columns asked for. */
export type RowCells = readonly (string | null)[]

export interface RowsRead {
  /** The columns as they are now. The OID of a domain's column is its base type's: so Postgres describes results. */
  readonly columns: readonly { readonly name: string; readonly typeOid: number }[]
  /**
   * Aligned with the keys: the cells; `null` where no row has the key; `undefined` where the key is none of this table's (a
   * column of the key is not in it, or its value is not of the column's type any more), so that nobody takes it for a
   * deleted row.
   */
  readonly rows: readonly (RowCells | null | undefined)[]
}

/** A client or a pool of `pg` whose sessions are set as the values' encoding needs them. */
export interface RowReader {
  query(config: {
    readonly text: string
    readonly values: unknown[]
    readonly rowMode: 'array'
    readonly types: { getTypeParser(): (text: string) => string }
  }): Promise<RowsAnswer>
}

interface RowsAnswer {
  readonly rows: unknown[]
  readonly fields: readonly { readonly name: string; readonly dataTypeID: number }[]
}

/** A read is by keys. */
const readTimeoutMs = 60_000

// Not a cast to text, which writes bool, char(n) and inet otherwise than their output functions, and so than the WAL.
const rawText = { getTypeParser: () => (text: string) => text }

/**
 * Reads rows by primary key, all in one query. A key may hold further columns. Do not call it inside a transaction: a value
 * that Postgres cannot read as the key's type would abort it.
 */
export async function readRows(
  client: RowReader,
  table: RowTable,
  columns: readonly string[],
  keys: readonly RowKey[],
): Promise<RowsRead> {
  const text = rowsSql(table, columns)
  const rows: (RowCells | null | undefined)[] = keys.map(() => undefined)
  const whole = keys.flatMap((key, index) => (table.key.every(({ name }) => key[name] !== undefined) ? [index] : []))
  const fields = (await readPart(whole)) ?? (await run([])).fields
  // The first is the position.
  return { columns: fields.slice(1).map(({ name, dataTypeID }) => ({ name, typeOid: dataTypeID })), rows }

  async function readPart(part: readonly number[]): Promise<RowsAnswer['fields'] | undefined> {
    if (part.length === 0) return undefined
    let answer: RowsAnswer
    try {
      answer = await run(part)
    } catch (error) {
      if (!isUnreadableValue(error)) throw error
      // One unreadable key must not keep the others from being read.
      if (part.length === 1) return undefined
      const half = part.length >> 1
      const first = await readPart(part.slice(0, half))
      return (await readPart(part.slice(half))) ?? first
    }
    for (const index of part) rows[index] = null
    for (const [position, ...cells] of answer.rows as readonly [string, ...(string | null)[]][]) {
      const index = part[Number(position) - 1]
      if (index !== undefined) rows[index] = cells
    }
    return answer.fields
  }

  function run(part: readonly number[]): Promise<RowsAnswer> {
    const values = table.key.map(({ name }) => part.map((index) => keys[index]?.[name]))
    return client.query(bounded({ text, values, rowMode: 'array', types: rawText }, readTimeoutMs))
  }
}

/**
 * Keys are bound as text and cast one by one, since an array of arrays cannot be bound for a key that is an array itself.
 * `OFFSET 0` keeps the lookup a lookup: the planner may not turn it into a join that reads the whole table, whatever it
 * believes of the table's size.
 */
function rowsSql(table: RowTable, columns: readonly string[]): string {
  const list = columns.map((column) => `t.${escapeIdentifier(column)}`).join(', ')
  const parameters = table.key.map((_, index) => `$${index + 1}::pg_catalog.text[]`).join(', ')
  const names = table.key.map((_, index) => `k${index + 1}`).join(', ')
  const matches = table.key.map(
    ({ name, type, equals }, index) => `t.${escapeIdentifier(name)} ${equals} k.k${index + 1}::${type}`,
  )
  return `SELECT k.position, r.*
  FROM unnest(${parameters}) WITH ORDINALITY AS k (${names}, position)
 CROSS JOIN LATERAL (
   SELECT ${list}
     FROM ${escapeIdentifier(table.schema)}.${escapeIdentifier(table.name)} AS t
    WHERE ${matches.join(' AND ')}
   OFFSET 0) AS r`
}

/** SQLSTATE class 22, data exception: the text is no value of the type. */
function isUnreadableValue(error: unknown): boolean {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' && error.code.startsWith('22')
}
