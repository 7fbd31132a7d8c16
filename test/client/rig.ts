import { onTestFinished } from 'vitest'
import type { PrismaClient } from '../../prisma/generated/client/client.js'
import { clientCapture } from '../../src/capture/client/client-capture.js'
import { type MappedTable, readClientTables } from '../../src/capture/client/read-tables.js'
import { sideTables } from '../../src/ledger/migrations/001-side-tables.js'
import { createDatabase, type TestDatabase } from '../support/postgres.js'
import { applyMigrations, connectPrisma } from '../support/prisma.js'

export const mapped: readonly MappedTable[] = [
  { schema: 'public', name: 'Seller', keyColumns: ['id'], tombstone: true },
  { schema: 'public', name: 'Product', keyColumns: ['id'], tombstone: true },
  { schema: 'public', name: 'Message', keyColumns: ['id'], tombstone: false },
  { schema: 'public', name: 'product_reviews', keyColumns: ['review_id'], tombstone: false },
  { schema: 'public', name: 'OrderLine', keyColumns: ['orderId', 'line'], tombstone: true },
  { schema: 'trust', name: 'reports', keyColumns: ['id'], tombstone: false },
]

export interface ClientRig {
  readonly db: TestDatabase
  readonly plain: PrismaClient
  readonly prisma: PrismaClient
  /** The extension's parts, for another parent. */
  readonly parts: (parent: unknown) => object
  /** How often a commit was told of. */
  readonly commits: () => number
  /** What stands in `dirty`, and what of the truth does not; both are emptied. */
  look(): Promise<Looked>
}

export interface Looked {
  /** `source key`, sorted, without duplicates. */
  readonly keys: readonly string[]
  readonly marks: readonly string[]
  /** Rows that were written and are covered by no key and no mark. */
  readonly missed: readonly string[]
  /** Keys of rows that were not written. */
  readonly spare: readonly string[]
}

export interface RigOptions {
  readonly sql?: string
  readonly mapped?: readonly MappedTable[]
  /** Gives the client to extend. */
  readonly client?: (url: string) => PrismaClient
}

export async function createRig(options: RigOptions = {}): Promise<ClientRig> {
  const tables = options.mapped ?? mapped
  const db = await createDatabase()
  await applyMigrations(db.url)
  await db.query(`CREATE SCHEMA safetykit; ${sideTables('safetykit')}`)
  if (options.sql !== undefined) await db.query(options.sql)
  await db.query(truthSql(tables))
  const plain = (options.client ?? connectPrisma)(db.url)
  let commits = 0
  const parts = (parent: unknown): object =>
    clientCapture({
      parent,
      schema: 'safetykit',
      tables: () => readClientTables(db.pool, { tables, defaultSchema: 'public' }),
      onCommitted: () => {
        commits++
      },
    })
  const prisma = plain.$extends(parts(plain)) as unknown as PrismaClient
  return {
    db,
    plain,
    prisma,
    parts,
    commits: () => commits,
    async look() {
      const dirty = await db.query<{ source: string; key: string | null }>(
        'DELETE FROM safetykit.dirty RETURNING source, key::text',
      )
      const truth = await db.query<{ source: string; key: string }>(
        'DELETE FROM truth.rows RETURNING source, key::text',
      )
      const marks = new Set(dirty.rows.filter((row) => row.key === null).map((row) => row.source))
      const keys = new Set(dirty.rows.filter((row) => row.key !== null).map((row) => `${row.source} ${row.key}`))
      const written = new Set(truth.rows.map((row) => `${row.source} ${row.key}`))
      const covered = (row: string): boolean => keys.has(row) || marks.has(row.slice(0, row.indexOf(' ')))
      return {
        keys: [...keys].sort(),
        marks: [...marks].sort(),
        missed: [...written].filter((row) => !covered(row)),
        spare: [...keys].filter((row) => !written.has(row)),
      }
    },
  }
}

/** For the time of one file, or of the test that calls it. */
export async function closeRig(rig: ClientRig): Promise<void> {
  await rig.plain.$disconnect()
  await rig.db.drop()
}

export async function rigOfTest(options: RigOptions = {}): Promise<ClientRig> {
  const rig = await createRig(options)
  onTestFinished(() => closeRig(rig))
  return rig
}

/** Row triggers that note every row that has to be captured, with its key as Postgres' output functions write it. */
function truthSql(tables: readonly MappedTable[]): string {
  const triggers = tables.map(({ schema, name, keyColumns, tombstone }, index) => {
    const key = (row: string): string =>
      `jsonb_build_object(${keyColumns.map((column) => `'${column}', format('%s', ${row}."${column}")`).join(', ')})`
    return `
      CREATE FUNCTION truth.note_${index}() RETURNS trigger SECURITY DEFINER LANGUAGE plpgsql AS $$ BEGIN
        IF TG_OP <> 'DELETE' THEN INSERT INTO truth.rows VALUES ('${schema}.${name}', ${key('NEW')}); END IF;
        ${tombstone ? `IF TG_OP = 'DELETE' OR (TG_OP = 'UPDATE' AND ${key('OLD')} <> ${key('NEW')}) THEN INSERT INTO truth.rows VALUES ('${schema}.${name}', ${key('OLD')}); END IF;` : ''}
        RETURN NULL; END $$;
      CREATE TRIGGER truth AFTER INSERT OR UPDATE OR DELETE ON "${schema}"."${name}"
        FOR EACH ROW EXECUTE FUNCTION truth.note_${index}();`
  })
  return `CREATE SCHEMA truth; CREATE TABLE truth.rows (source text, key jsonb); ${triggers.join('\n')}`
}

/** Everything about a result that a caller could notice. */
export function anatomy(value: unknown): unknown {
  if (Array.isArray(value)) return ['array', value.map(anatomy)]
  if (typeof value !== 'object' || value === null) return [typeof value, value]
  const prototype = Object.getPrototypeOf(value) as { constructor?: { name?: string } } | null
  const name = prototype === null ? null : prototype.constructor?.name
  if (name !== 'Object' && prototype !== null) return [name, String(value)]
  return [
    name,
    Reflect.ownKeys(value).map((key) => [key, anatomy(Reflect.get(value, key))]),
    JSON.stringify(value, bigints),
  ]
}

function bigints(_key: string, value: unknown): unknown {
  return typeof value === 'bigint' ? `${value}n` : value
}
