import { escapeIdentifier, escapeLiteral, type PoolClient, type QueryArrayResult, type QueryConfig } from 'pg'
import { SyncError } from '../errors.js'
import { CopyOut } from './copy-out.js'
import { cellsOf } from './copy-text.js'
import type { RowCells, RowTable } from './rows.js'

/** Where a walk over a table is: after the row with this key, in the order of this index. */
export interface WalkPosition {
  /** The OID of the primary key's index. Another one is another order: what lies behind the position is not known then. */
  readonly index: string
  /** The key's values in the key's order, in Postgres' text format. */
  readonly after: readonly string[]
}

/** What was read of a table at once, in the order of the primary key. */
export interface Chunk {
  readonly rows: number
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

/** A pool of `pg` whose sessions are set as the values' encoding needs them. */
export interface ChunkReader {
  connect(): Promise<PoolClient>
}

export interface ChunkRequest {
  readonly after: WalkPosition | null
  readonly limits: ChunkLimits
  /** SQL over the table, whose alias is `t`: only rows for which it is true are read. */
  readonly where?: string | undefined
  /** Whether to look first if `where` is right. Default: `false`. */
  readonly checkWhere?: boolean
  /**
   * Is told the columns that were asked for, as they are now, before the rows come; the OID of a domain's column is its
   * base type's. What it returns is called with the cells of each row.
   */
  readonly begin: (columns: readonly ChunkColumn[]) => (cells: RowCells) => void
}

export interface ChunkColumn {
  readonly name: string
  readonly typeOid: number
}

/** The table is not what the catalogue said: undefined table, column, schema, or an operator that the key's type lacks. */
const movedCodes = new Set(['42P01', '42703', '3F000', '42883', '42804', '42704', '42809', '42P22'])

/** The table's key is another one than that of the position: the walk has to begin anew. */
export class OrderChanged extends Error {}

/**
 * Reads the next rows of a table by its primary key, which is among the columns, with `COPY`: it costs the server half of
 * what a SELECT does, and this process a third. The transaction's lock on the table keeps the columns what they were described as.
 * @throws {SyncError} `TABLE_UNFIT`, retryable: the table was migrated; with a fresh catalogue it may be read.
 * `ARGUMENT_INVALID`: Postgres refused `where`.
 * @throws {OrderChanged}
 */
export async function readChunk(
  db: ChunkReader,
  table: RowTable,
  columns: readonly string[],
  request: ChunkRequest,
): Promise<Chunk> {
  if (request.after !== null && request.after.after.length !== table.key.length) throw new OrderChanged()
  const client = await db.connect()
  let isClean = false
  try {
    const described = await describe(client, table, columns)
    if (request.after !== null && request.after.index !== described.index) throw new OrderChanged()
    const sql = chunkSql(table, columns, request)
    if (request.checkWhere === true && request.where !== undefined) await checkWhere(client, table, request.where, sql)
    const intake = new Intake(
      request,
      table.key.map(({ name }) => columns.indexOf(name)),
      described.columns,
    )
    const whole = await copy(client, sql, { table, where: request.where, intake })
    isClean = whole
    return intake.chunk(described.index, whole)
  } catch (error) {
    isClean = await client.query('ROLLBACK').then(
      () => true,
      () => false,
    )
    throw error
  } finally {
    client.release(!isClean)
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

/** What comes beyond the limit is thrown away; past so many bytes, the connection is, since nothing else stops a COPY. */
const maxInVain = 32 * 1024 * 1024

/** Takes the lines, and nothing of rows beyond the limit: how large the next rows are is not known before they are there. */
class Intake {
  /** Settles when more came in vain than is worth waiting for. */
  readonly overfull: Promise<void>
  readonly #request: ChunkRequest
  readonly #keyAt: readonly number[]
  readonly #take: (cells: RowCells) => void
  #rows = 0
  #size = 0
  #inVain = 0
  #skipped = false
  #end: RowCells | null = null
  #stop: () => void = () => {}

  constructor(request: ChunkRequest, keyAt: readonly number[], columns: readonly ChunkColumn[]) {
    this.#request = request
    this.#keyAt = keyAt
    this.#take = request.begin(columns)
    this.overfull = new Promise((resolve) => {
      this.#stop = resolve
    })
  }

  line(bytes: Buffer): void {
    if (this.#size >= this.#request.limits.size) {
      this.#skipped = true
      this.#inVain += bytes.length
      if (this.#inVain > maxInVain) this.#stop()
      return
    }
    const line = bytes.toString('utf8', 0, bytes.length - 1)
    const cells = cellsOf(line)
    this.#rows += 1
    this.#size += line.length
    this.#end = cells
    this.#take(cells)
  }

  chunk(index: string, whole: boolean): Chunk {
    const end = this.#end
    return {
      rows: this.#rows,
      position: end === null ? this.#request.after : { index, after: this.#keyAt.map((column) => end[column] ?? '') },
      last: whole && !this.#skipped && this.#rows < this.#request.limits.rows,
      size: this.#size,
    }
  }
}

/** @returns whether it came to its end. Else the connection is of no more use. */
async function copy(
  client: PoolClient,
  sql: string,
  { table, where, intake }: { readonly table: RowTable; readonly where: string | undefined; readonly intake: Intake },
): Promise<boolean> {
  const query = client.query(new CopyOut(`COPY (${sql}) TO STDOUT`, (line) => intake.line(line)))
  const ended = query.done.then(() => true)
  // After an end by the other side it may still fail, unheard.
  ended.catch(() => {})
  try {
    return await Promise.race([ended, intake.overfull.then(() => false)])
  } catch (error) {
    const code = sqlState(error)
    if (code !== null && movedCodes.has(code)) throw moved(table, error)
    // Class 22, data exception: a value that `where` cannot work with, or a position that is no value of the key's type any
    // more. Those messages, and what functions raise, hold values.
    if (code !== null && where !== undefined && /^(22|23|38|P0)/.test(code)) throw whereFails(code)
    if (code?.startsWith('22')) throw moved(table)
    throw error
  }
}

/** Opens the transaction, and holds the table as it is until its end. */
async function describe(
  client: PoolClient,
  table: RowTable,
  columns: readonly string[],
): Promise<{ readonly index: string; readonly columns: readonly ChunkColumn[] }> {
  const list = columns.map((column) => `, t.${escapeIdentifier(column)}`).join('')
  const begin = 'BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY'
  const text = `${begin}; SELECT ${indexSql(table)}${list} FROM (SELECT) AS one LEFT JOIN ${tableSql(table)} AS t ON false`
  try {
    // Of two statements there are two results, which the types do not know.
    const results: unknown = await client.query({ text, rowMode: 'array' })
    const [, { rows, fields }] = results as readonly [unknown, QueryArrayResult<unknown[]>]
    const index = rows[0]?.[0]
    if (typeof index !== 'string') throw moved(table)
    return { index, columns: fields.slice(1).map(({ name, dataTypeID }) => ({ name, typeOid: dataTypeID })) }
  } catch (error) {
    const code = sqlState(error)
    if (code !== null && movedCodes.has(code)) throw moved(table, error)
    throw error
  }
}

/**
 * The table and its columns are there, so what is refused now is refused for `where`. Alone it has to be right as well: what
 * closes the parentheses that are put around it is not one condition.
 */
async function checkWhere(client: PoolClient, table: RowTable, where: string, sql: string): Promise<void> {
  const alone = `SELECT FROM ${tableSql(table)} AS t WHERE ${where}`
  try {
    for (const text of [alone, sql])
      await client.query({ text: `EXPLAIN ${text}`, queryMode: 'extended' } as QueryConfig)
  } catch (error) {
    const code = sqlState(error)
    if (code === null) throw error
    if (/^2[0-9]/.test(code)) throw whereFails(code)
    const message = error instanceof Error ? error.message : ''
    throw new SyncError('ARGUMENT_INVALID', `Postgres refused the condition (where): ${message}`, { hint: whereHint })
  }
}

const whereHint = `It is SQL as after WHERE, over the columns of the table: "price > 100 AND t.title IS NOT NULL"`

function whereFails(code: string): SyncError {
  const message = `The condition (where) failed on a value (SQLSTATE ${code})`
  return new SyncError('ARGUMENT_INVALID', message, {
    hint: 'Make it hold for every row; Postgres may look at the parts of an AND in any order, a CASE keeps it in order.',
  })
}

/** The code of Postgres' answer; `null` for anything else, such as a connection that broke. */
const sqlState = (error: unknown): string | null =>
  error instanceof Error && 'code' in error && typeof error.code === 'string' && /^[0-9A-Z]{5}$/.test(error.code)
    ? error.code
    : null

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
function chunkSql(
  table: RowTable,
  columns: readonly string[],
  { after, where, limits }: Pick<ChunkRequest, 'after' | 'where' | 'limits'>,
): string {
  const { key } = table
  const list = (alias: string): string => columns.map((column) => `${alias}.${escapeIdentifier(column)}`).join(', ')
  const order = (alias: string): string => key.map(({ name }) => `${alias}.${escapeIdentifier(name)}`).join(', ')
  // The line break ends a comment.
  const own = where === undefined ? [] : [`(${where}\n)`]
  const part = (conditions: readonly string[]): string => {
    const all = [...conditions, ...own]
    const selected = all.length === 0 ? '' : ` WHERE ${all.join(' AND ')}`
    return `SELECT ${list('t')} FROM ${tableSql(table)} AS t${selected} ORDER BY ${order('t')} LIMIT ${limits.rows}`
  }
  if (after === null) return part([])

  // COPY takes no parameters. The values come from the database itself.
  const names = key.map(({ name }) => `t.${escapeIdentifier(name)}`)
  const values = key.map(({ type }, at) => `${escapeLiteral(after.after[at] ?? '')}::${type}`)
  const [first] = key
  if (key.every(({ greater }) => greater === first?.greater)) {
    return part([`ROW(${names.join(', ')}) ${first?.greater} ROW(${values.join(', ')})`])
  }
  const parts = key.map(({ greater }, at) => {
    const equal = key.slice(0, at).map(({ equals }, before) => `${names[before]} ${equals} ${values[before]}`)
    return `SELECT ${-at} AS part, p.* FROM (${part([...equal, `${names[at]} ${greater} ${values[at]}`])}) AS p`
  })
  return `SELECT ${list('u')} FROM (${parts.join(' UNION ALL ')}) AS u ORDER BY u.part, ${order('u')} LIMIT ${limits.rows}`
}

const tableSql = ({ schema, name }: RowTable): string => `${escapeIdentifier(schema)}.${escapeIdentifier(name)}`

const indexSql = (table: RowTable): string => `(SELECT i.indexrelid::pg_catalog.text FROM pg_catalog.pg_index AS i
  WHERE i.indrelid = ${escapeLiteral(tableSql(table))}::pg_catalog.regclass AND i.indisprimary)`
