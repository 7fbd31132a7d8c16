import { escapeIdentifier } from 'pg'
import type { RowKey } from '../capture/change.js'
import { readRows } from '../capture/rows.js'
import { SyncError } from '../errors.js'
import type { Databases } from '../pipeline/databases.js'
import type { BoundModel } from './bound-models.js'
import { keyText } from './key-text.js'

interface ResendOptions {
  /** The client whose delegates find the rows. */
  readonly parent: object
  readonly databases: Databases
  /** Of the side tables, unquoted. */
  readonly schema: string
}

type Row = Readonly<Record<string, unknown>>

interface Delegate {
  findMany(args: object): Promise<readonly Row[]>
}

const pageSize = 1_000

/** Types that Prisma can compare with `gt`, so that a walk by key can go on behind a row. */
const comparable = new Set(['String', 'Int', 'BigInt', 'Float', 'Decimal', 'DateTime'])

/** Marks the rows that match as dirty with `force`: walks them by primary key. */
export async function resend(model: BoundModel, where: unknown, options: ResendOptions): Promise<number> {
  const { databases, schema } = options
  const { bound } = model
  const delegate = delegateOf(options.parent, model.name)
  const fields = bound.table.primaryKey.map(({ name }) => {
    const field = model.fields.find(({ column }) => column === name)
    if (field !== undefined) return { column: name, name: field.name, type: field.type }
    throw new SyncError(
      'MAPPING_UNFIT',
      `The primary key of ${model.name} holds ${name}, which the client does not know`,
      {
        hint: 'Bring the Prisma schema up to date (prisma db pull), then run: prisma generate',
      },
    )
  })
  const select = Object.fromEntries(fields.map(({ name }) => [name, true]))
  const orderBy = fields.map(({ name }) => ({ [name]: 'asc' }))
  // A key that cannot be compared (bytes, an enum) is short of rows or rare: it is taken in one piece.
  const take = fields.every(({ type }) => comparable.has(type)) ? pageSize : undefined
  const insert = `INSERT INTO ${escapeIdentifier(schema)}.dirty (source, key, force)
    SELECT $1, key::jsonb, true FROM unnest($2::text[]) AS key`

  let marked = 0
  let last: Row | undefined
  do {
    const after = last === undefined ? {} : behind(fields, last)
    const page = await delegate.findMany({ where: { AND: [where, after] }, select, orderBy, take })
    const keys = page.map((row) => keyOf(fields, row))
    const found = await readKeys(databases, model, keys)
    if (found.length > 0) await databases.ledger.query(insert, [bound.source, found.map((key) => JSON.stringify(key))])
    marked += found.length
    last = page.length === take ? page.at(-1) : undefined
  } while (last !== undefined)
  return marked
}

function delegateOf(parent: object, model: string): Delegate {
  const property = model.charAt(0).toLowerCase() + model.slice(1)
  return (parent as Readonly<Record<string, Delegate>>)[property] as Delegate
}

interface KeyField {
  readonly column: string
  readonly name: string
}

const keyOf = (fields: readonly KeyField[], row: Row): RowKey =>
  Object.fromEntries(fields.map(({ column, name }) => [column, keyText(row[name]) ?? '']))

/** `(a, b) > (1, 2)` in Prisma's words: a > 1, or a = 1 and b > 2. */
function behind(fields: readonly KeyField[], row: Row): object {
  return {
    OR: fields.map(({ name }, index) => ({
      ...Object.fromEntries(fields.slice(0, index).map((before) => [before.name, row[before.name]])),
      [name]: { gt: row[name] },
    })),
  }
}

/** The whole keys as Postgres writes them, of the rows that are still there. */
async function readKeys(databases: Databases, { bound }: BoundModel, keys: readonly RowKey[]): Promise<RowKey[]> {
  if (keys.length === 0) return []
  const { rows } = await readRows(databases.source, bound.rowTable, bound.keyColumns, keys)
  return rows.flatMap((cells) =>
    cells == null
      ? []
      : [Object.fromEntries(bound.keyColumns.flatMap((name, at) => (cells[at] == null ? [] : [[name, cells[at]]])))],
  )
}
