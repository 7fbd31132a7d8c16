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
 */
const sessionSql = 'SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off; SET jit = off'

/** Connections for the ledger's statements. `onError` is told of idle connections that break; they are replaced. */
export function openLedgerPool(options: {
  readonly connectionString: string
  readonly max: number
  /** How long a connection, and each statement, may take. Default: 10,000 for a connection. */
  readonly timeoutMs?: number
  readonly onError: (error: Error) => void
}): pg.Pool {
  const { connectionString, max, timeoutMs, onError } = options
  const pool = new pg.Pool({
    connectionString,
    max,
    connectionTimeoutMillis: timeoutMs ?? 10_000,
    ...(timeoutMs === undefined ? {} : { query_timeout: timeoutMs }),
    allowExitOnIdle: true,
    keepAlive: true,
    application_name: 'safetykit-sync ledger',
    onConnect: async (client) => {
      await client.query(sessionSql)
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
