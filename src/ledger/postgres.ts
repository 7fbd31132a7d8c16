import pg from 'pg'

/** What the ledger needs of a `pg` pool or client. */
export interface Queryable {
  query(
    text: string | { name?: string; text: string; values?: unknown[] },
    values?: unknown[],
  ): Promise<{ rows: Record<string, unknown>[]; rowCount: number | null }>
}

/**
 * The ledger is only ever asked by key, and a group of keys costs a descent of the index each. The planner, who may never
 * have seen statistics of these tables, would rather read a table of some 100,000 rows as a whole.
 *
 * What a role or a database has other defaults of: `pg` reads no other dates, and a time that is written with the name of its
 * zone is read back as that of another one (IST). Short time-outs are for the application's statements.
 */
const sessionSql = [
  ...['SET enable_seqscan = off', 'SET enable_hashjoin = off', 'SET enable_mergejoin = off', 'SET jit = off'],
  ...["SET DateStyle = 'ISO'", "SET TimeZone = 'UTC'", 'SET statement_timeout = 0'],
].join('; ')

/**
 * For statements that go over all objects of a table or of an import, where the others of the pool have little time: on slow
 * disks they take minutes, and what is given up begins anew.
 */
export const patientMs = 3_600_000

/** Connections for the ledger's statements. `onError` is told of idle connections that break; they are replaced. */
export function openLedgerPool(options: {
  readonly connectionString: string
  readonly max: number
  /** How long it may take to connect. Default: 10,000. */
  readonly connectTimeoutMs?: number | undefined
  /**
   * How long each statement may take; its connection is given up with it. Default: for ever. The server keeps what waits for
   * a lock, whoever has given it up: so that these do not come to be many, it is told to end them a little earlier.
   */
  readonly statementTimeoutMs?: number | undefined
  /** What connects. Default: `pg`'s own. */
  readonly client?: typeof pg.Client | undefined
  readonly onError: (error: Error) => void
}): pg.Pool {
  const { connectionString, max, connectTimeoutMs = 10_000, statementTimeoutMs: timeoutMs, client, onError } = options
  const setUp =
    timeoutMs === undefined ? sessionSql : `${sessionSql}; SET lock_timeout = ${Math.floor(timeoutMs * 0.75)}`
  const pool = new pg.Pool({
    connectionString,
    max,
    connectionTimeoutMillis: connectTimeoutMs,
    ...(timeoutMs === undefined ? {} : { query_timeout: timeoutMs }),
    ...(client === undefined ? {} : { Client: client }),
    allowExitOnIdle: true,
    keepAlive: true,
    application_name: 'safetykit-sync ledger',
    onConnect: async (connected) => {
      await connected.query(setUp)
    },
  })
  pool.on('error', onError)
  return pool
}

const plain = /^[\w.:/+=-]+$/

/**
 * An array literal of texts. `pg` would make the same, but slower: it escapes every element twice, and this is the
 * ledger's largest cost in this process.
 */
export function textArray(values: readonly (string | null)[]): string {
  // An array joins its elements natively; null becomes nothing, so it must not be joined.
  const literals = values.every(isPlain) ? values : values.map(literal)
  return `{${literals.join(',')}}`
}

/** An element that spells NULL would be read as null. */
const isPlain = (value: string | null): boolean => value !== null && plain.test(value) && value.toLowerCase() !== 'null'

function literal(value: string | null): string {
  if (value === null) return 'NULL'
  return isPlain(value) ? value : `"${value.replace(/[\\"]/g, '\\$&')}"`
}
