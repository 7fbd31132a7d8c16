import pg from 'pg'
import { isSyncError, SyncError } from './errors.js'

/** Network errors as Node names them. Those of the API are `SyncError`s by the time they get here. */
const networkCodes = [
  ...['ECONNREFUSED', 'ECONNRESET', 'EPIPE', 'ETIMEDOUT', 'EHOSTUNREACH', 'ENETUNREACH', 'EACCES', 'ENOENT'],
  ...['ENOTFOUND', 'EAI_AGAIN'],
]

/** Runs `work`, and says of an error that Postgres is behind it and what to do about it. */
export async function explainingDatabase<T>(databaseUrl: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    throw explainDatabaseError(error, databaseUrl)
  }
}

/** An error of `pg` or of the network as a `SyncError`; anything else as it is. */
export function explainDatabaseError(error: unknown, databaseUrl: string): unknown {
  if (isSyncError(error) || !(error instanceof Error)) return error
  const where = databaseAddress(databaseUrl)
  const code = 'code' in error && typeof error.code === 'string' ? error.code : undefined
  if (code !== undefined && networkCodes.includes(code)) {
    return new SyncError('DATABASE_UNREACHABLE', `Postgres at ${where} cannot be reached (${code})`, {
      cause: error,
      hint: 'Check the host and the port in DATABASE_URL, and that the server runs and accepts connections from here.',
    })
  }
  // `pg` names no code where a connection ends, or does not come about in time.
  if (code === undefined && error.constructor === Error) {
    return new SyncError('DATABASE_UNREACHABLE', `The connection to Postgres at ${where} failed: ${error.message}`, {
      cause: error,
      hint: 'Wait until the server can be reached again, then start again.',
    })
  }
  if (!(error instanceof pg.DatabaseError) || code === undefined) return error
  const known = refusal(code, where)
  if (known === undefined) return error
  return new SyncError(known.code, known.message, { cause: error, hint: known.hint })
}

/** Whether the same may succeed later without anyone changing anything: the server is away, or asks for another attempt. */
export function mayPass(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  if (isSyncError(error)) return error.retryable
  const code = 'code' in error && typeof error.code === 'string' ? error.code : undefined
  // `pg` names no code where a connection ends in the middle of a query.
  if (code === undefined) return error.constructor === Error
  if (error instanceof pg.DatabaseError) return /^(08|57P|53|40)/.test(code)
  return networkCodes.includes(code)
}

interface Refusal {
  readonly code: 'DATABASE_UNREACHABLE' | 'DATABASE_UNFIT'
  readonly message: string
  readonly hint: string
}

/** @see https://www.postgresql.org/docs/current/errcodes-appendix.html */
function refusal(sqlState: string, where: string): Refusal | undefined {
  const unreachable = (message: string, hint: string): Refusal => ({ code: 'DATABASE_UNREACHABLE', message, hint })
  if (sqlState.startsWith('28')) {
    return unreachable(
      `Postgres at ${where} refused the login (${sqlState})`,
      'Check user and password in DATABASE_URL (special characters are percent-encoded), and the rules in pg_hba.conf.',
    )
  }
  if (sqlState === '3D000') {
    return unreachable(`The database ${where} does not exist`, 'Check the name after the last slash of DATABASE_URL.')
  }
  if (sqlState === '53300') {
    return unreachable(`Postgres at ${where} has no connection left`, 'Raise max_connections, or end idle connections.')
  }
  if (sqlState.startsWith('08') || sqlState.startsWith('57P')) {
    return unreachable(
      `Postgres at ${where} ended the connection or does not accept any now (${sqlState})`,
      'Wait until the server is up again, then start again.',
    )
  }
  if (sqlState === '42501') {
    return {
      code: 'DATABASE_UNFIT',
      message: `The role of DATABASE_URL lacks a right in ${where} (${sqlState})`,
      hint: 'Run with --verbose: the error of Postgres below names the object. GRANT the right, or use the role that owns it.',
    }
  }
  return undefined
}

/** `host:port/database`: all that may be shown of a database URL. */
export function databaseAddress(databaseUrl: string): string {
  if (!URL.canParse(databaseUrl)) return 'the configured address'
  const url = new URL(databaseUrl)
  const host = url.hostname === '' ? (url.searchParams.get('host') ?? 'localhost') : url.hostname
  return `${host}:${url.port === '' ? '5432' : url.port}${url.pathname}`
}
