import { escapeIdentifier, escapeLiteral } from 'pg'
import { SyncError } from '../errors.js'
import type { RowCells, RowTable } from './rows.js'

/** Where a walk over a table is: after the row with this key, in the order of this index. */
export interface WalkPosition {
  /** The OID of the primary key's index. Another one is another order: what lies behind the position is not known then. */
  readonly index: string
  /** The key's values in the key's order, in Postgres' text format. */
  readonly after: readonly string[]
}

/** Some rows, in the order of the primary key. */
export interface Chunk {
  /** Those that were asked for, as they are now; a row has a cell more than there are columns. */
  readonly columns: readonly { readonly name: string; readonly typeOid: number }[]
  readonly rows: readonly RowCells[]
  /** After the last of the rows; where there is none, the position that the walk had. */
  readonly position: WalkPosition | null
  /** Behind the last row there was none. */
  readonly last: boolean
  /** Characters of all its rows. */
  readonly size: number
}

export interface ChunkLimits {
  readonly rows: number
  /** Characters; one row is read however large it is. */
  readonly size: number
}

/** A client or a pool of `pg` whose sessions are set as the values' encoding needs them. */
export interface ChunkReader {
  query(config: {
    readonly text: string
    readonly values: unknown[]
    readonly rowMode: 'array'
    readonly types: { getTypeParser(): (text: string) => string }
  }): Promise<{
    readonly rows: unknown[]
    readonly fields: readonly { readonly name: string; readonly dataTypeID: number }[]
  }>
}

/** The table is not what the catalogue said: undefined table, column, schema, or an operator that the key's type lacks. */
const movedCodes = new Set(['42P01', '42703', '3F000', '42883', '42804', '42704', '42809', '42P22'])

/** The table's key is another one than that of the position: the walk has to begin anew. */
export class OrderChanged extends Error {}

/**
 * Reads the next rows of a table by its primary key, which is among the columns: one query, no transaction that stays open,
 * no lock that outlasts it.
 * @throws {SyncError} `TABLE_UNFIT`, retryable: the table was migrated; with a fresh catalogue it may be read.
 * @throws {OrderChanged}
 */
export async function readChunk(
  client: ChunkReader,
  table: RowTable,
  columns: readonly string[],
  { after, limits }: { readonly after: WalkPosition | null; readonly limits: ChunkLimits },
): Promise<Chunk> {
  if (after !== null && after.after.length !== table.key.length) throw new OrderChanged()
  const intake = new Intake(columns.length, limits.size)
  const text = chunkSql(table, columns, after !== null)
  const values = [...(after?.after ?? []), limits.rows]
  const { rows, fields } = await query(client, table, { text, values, rowMode: 'array', types: intake })
  const kept = rows.slice(0, intake.rows) as readonly RowCells[]
  // An empty chunk says nothing of the index; asked after it, the same index was there while it was read.
  const index = kept[0]?.[columns.length] ?? (await indexNow(client, table))
  if (index == null) throw moved(table)
  if (after !== null && after.index !== index) throw new OrderChanged()
  const end = kept.at(-1)
  const at = table.key.map(({ name }) => columns.indexOf(name))
  return {
    columns: fields.slice(0, columns.length).map(({ name, dataTypeID }) => ({ name, typeOid: dataTypeID })),
    rows: kept,
    position: end === undefined ? after : { index, after: at.map((column) => end[column] ?? '') },
    last: rows.length < limits.rows && kept.length === rows.length,
    size: intake.size,
  }
}

/**
 * How many rows to ask for next, by what the last ones weighed. It grows step by step: what is beyond the limit of a chunk
 * was sent in vain.
 */
export function nextRows(chunk: Pick<Chunk, 'size'> & { readonly rows: number }, limits: ChunkLimits): number {
  const average = Math.max(1, chunk.size / Math.max(1, chunk.rows))
  return Math.max(1, Math.min(limits.rows, chunk.rows * 4, Math.floor(limits.size / 2 / average)))
}

/**
 * Counts what comes in as it comes in, and keeps nothing of rows beyond the limit: how large the next rows are is not known
 * before they are there.
 */
class Intake {
  size = 0
  /** Rows that are kept, each as a whole. */
  rows = 0
  readonly #columns: number
  readonly #limit: number
  #described = 0
  #full = false

  constructor(columns: number, limit: number) {
    this.#columns = columns
    this.#limit = limit
  }

  /** Asked for once for each column, in order. The last one is never null, so that its parser is called for every row. */
  getTypeParser(): (text: string) => string {
    this.#described += 1
    return this.#described > this.#columns ? (text) => this.#end(text) : (text) => this.#take(text)
  }

  #take(text: string): string {
    if (this.#full) return ''
    this.size += text.length
    return text
  }

  #end(text: string): string {
    if (!this.#full) this.rows += 1
    this.#full = this.size >= this.#limit
    return text
  }
}

async function query(
  client: ChunkReader,
  table: RowTable,
  config: Parameters<ChunkReader['query']>[0],
): ReturnType<ChunkReader['query']> {
  try {
    return await client.query(config)
  } catch (error) {
    if (error instanceof Error && 'code' in error && movedCodes.has(String(error.code))) throw moved(table, error)
    // Class 22, data exception: the position is no value of the key's type any more. Its message holds the value.
    const { code } = error as { readonly code?: unknown }
    if (typeof code === 'string' && code.startsWith('22')) throw moved(table)
    throw error
  }
}

async function indexNow(client: ChunkReader, table: RowTable): Promise<string | null> {
  const { rows } = await query(client, table, {
    text: `SELECT ${indexSql(table)}`,
    values: [],
    rowMode: 'array',
    types: { getTypeParser: () => (text) => text },
  })
  return (rows[0] as readonly (string | null)[] | undefined)?.[0] ?? null
}

function moved(table: RowTable, cause?: unknown): SyncError {
  const message = `The table ${table.schema}.${table.name} changed while it was scanned`
  return new SyncError('TABLE_UNFIT', message, { retryable: true, cause })
}

/**
 * A primary key is always ascending, and of the types' own operator classes and collations: so a plain ORDER BY is its index.
 *
 * A comparison of rows is what the index serves as a whole. It takes one operator for all columns; where the types have
 * theirs in different schemas, what is behind the position is taken in parts: the same `a` and a greater `b`, then a greater `a`.
 */
function chunkSql(table: RowTable, columns: readonly string[], positioned: boolean): string {
  const { key } = table
  const limit = `LIMIT $${(positioned ? key.length : 0) + 1}::pg_catalog.int8`
  const list = (alias: string): string => columns.map((column) => `${alias}.${escapeIdentifier(column)}`).join(', ')
  const order = (alias: string): string => key.map(({ name }) => `${alias}.${escapeIdentifier(name)}`).join(', ')
  const part = (where: string): string =>
    `SELECT ${list('t')}, ${indexSql(table)} AS index FROM ${tableSql(table)} AS t ${where} ORDER BY ${order('t')} ${limit}`
  if (!positioned) return part('')

  const names = key.map(({ name }) => `t.${escapeIdentifier(name)}`)
  const values = key.map(({ type }, at) => `$${at + 1}::${type}`)
  const [first] = key
  if (key.every(({ greater }) => greater === first?.greater)) {
    return part(`WHERE ROW(${names.join(', ')}) ${first?.greater} ROW(${values.join(', ')})`)
  }
  const parts = key.map(({ greater }, at) => {
    const equal = key.slice(0, at).map(({ equals }, before) => `${names[before]} ${equals} ${values[before]}`)
    return `SELECT ${-at} AS part, p.* FROM (${part(`WHERE ${[...equal, `${names[at]} ${greater} ${values[at]}`].join(' AND ')}`)}) AS p`
  })
  return `SELECT ${list('u')}, u.index FROM (${parts.join(' UNION ALL ')}) AS u ORDER BY u.part, ${order('u')} ${limit}`
}

const tableSql = ({ schema, name }: RowTable): string => `${escapeIdentifier(schema)}.${escapeIdentifier(name)}`

const indexSql = (table: RowTable): string => `(SELECT i.indexrelid::pg_catalog.text FROM pg_catalog.pg_index AS i
  WHERE i.indrelid = ${escapeLiteral(tableSql(table))}::pg_catalog.regclass AND i.indisprimary)`
