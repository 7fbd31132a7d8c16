import pg from 'pg'
import { isSyncError, SyncError } from './errors.js'

/** Network errors as Node names them. Those of the API are `SyncError`s by the time they get here. */
const networkCodes = [
  ...['ECONNREFUSED', 'ECONNRESET', 'EPIPE', 'ETIMEDOUT', 'EHOSTUNREACH', 'ENETUNREACH', 'EACCES', 'ENOENT'],
  ...['ENOTFOUND', 'EAI_AGAIN'],
]

/** How Node and OpenSSL name what is wrong with a certificate, or with TLS at all. */
const tlsCode = /^(DEPTH_ZERO|SELF_SIGNED|UNABLE_TO|CERT_|ERR_TLS|ERR_SSL|ERR_OSSL|EPROTO$)/

/** A database, and the setting that says where it is. */
export interface DatabasePlace {
  readonly url: string
  /** Default: `DATABASE_URL`. */
  readonly setting?: string | undefined
}

const places = new WeakMap<Error, DatabasePlace>()

/** Remembers of an error which database it is of, where whoever explains it cannot tell two of them apart. */
export function ofDatabase<T>(error: T, place: DatabasePlace): T {
  if (error instanceof Error && !places.has(error)) places.set(error, place)
  return error
}

/** Runs `work`, and says of an error that Postgres is behind it and what to do about it. */
export async function explainingDatabase<T>(
  databaseUrl: string,
  work: () => Promise<T>,
  setting?: string | undefined,
): Promise<T> {
  try {
    return await work()
  } catch (error) {
    throw explainDatabaseError(error, databaseUrl, setting)
  }
}

/**
 * An error of `pg` or of the network as a `SyncError`; anything else as it is.
 * @param setting what the URL is called where it was given. Default: `DATABASE_URL`.
 */
export function explainDatabaseError(error: unknown, databaseUrl: string, setting?: string | undefined): unknown {
  if (isSyncError(error) || !(error instanceof Error)) return error
  const place = places.get(error) ?? { url: databaseUrl, setting }
  const known = explanation(error, place)
  return known === undefined ? error : new SyncError(known.code, known.message, { cause: error, hint: known.hint })
}

function explanation(error: Error, { url, setting = 'DATABASE_URL' }: DatabasePlace): Refusal | undefined {
  const where = databaseAddress(url)
  const code = 'code' in error && typeof error.code === 'string' ? error.code : undefined
  if ('syscall' in error && error.syscall === 'open') return unreadableFile(error, url, setting)
  if (code !== undefined && networkCodes.includes(code)) {
    return unreachable(
      `Postgres at ${where} cannot be reached (${code})`,
      `Check the host and the port in ${setting}, and that the server runs and accepts connections from here.`,
    )
  }
  if (code !== undefined && tlsCode.test(code)) {
    return unreachable(
      `No TLS connection to Postgres at ${where} came about (${code})`,
      `Add sslrootcert=/path/to/ca.pem, the certificate of the server's authority, to ${setting}, and name the host as the server's certificate does; or encrypt without checking it: uselibpqcompat=true&sslmode=require.`,
    )
  }
  // `pg` names no code where a connection ends, or does not come about in time, nor where it cannot log in or use TLS.
  if (code === undefined && error.constructor === Error) {
    return unreachable(`The connection to Postgres at ${where} failed: ${error.message}`, hintWithoutCode(url, setting))
  }
  if (!(error instanceof pg.DatabaseError) || code === undefined) return undefined
  return refusal({ code, message: error.message }, where, setting)
}

/** A certificate or key that the URL names. Other files are none of the database's. */
function unreadableFile(error: Error, databaseUrl: string, setting: string): Refusal | undefined {
  const { path, code } = error as NodeJS.ErrnoException
  const named = path !== undefined && URL.canParse(databaseUrl) ? [...new URL(databaseUrl).searchParams] : []
  const parameter = named.find(([, value]) => value === path)?.[0]
  if (parameter === undefined) return undefined
  return {
    code: 'CONFIG_INVALID',
    message: `The file ${path}, ${parameter} of ${setting}, cannot be read (${code})`,
    hint: 'Correct its name, or who may read it. One without a slash at its beginning is looked for in the working directory.',
  }
}

/** Only the message, in words that may change, would tell what it was: all is named that this URL can be the reason of. */
function hintWithoutCode(databaseUrl: string, setting: string): string {
  const url = URL.canParse(databaseUrl) ? new URL(databaseUrl) : null
  const hints = [`Check the host and the port in ${setting}, or wait until the server can be reached again.`]
  if (url !== null && url.password === '' && !url.searchParams.has('password')) {
    hints.push(`It holds no password: if the server asks for one, postgresql://user:password@… has it.`)
  }
  const tls = url?.searchParams.get('sslmode') ?? url?.searchParams.get('ssl') ?? null
  if (tls !== null && !['disable', 'false', '0'].includes(tls)) {
    hints.push('It asks for TLS: for a server that has none, sslmode=disable.')
  }
  return hints.join(' ')
}

/** Whether the same may succeed later without anyone changing anything: the server is away, or asks for another attempt. */
export function mayPass(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  if (isSyncError(error)) return error.retryable
  const code = 'code' in error && typeof error.code === 'string' ? error.code : undefined
  // `pg` names no code where a connection ends in the middle of a query.
  if (code === undefined) return error.constructor === Error
  // The last two: a statement that was cancelled, or that waited for a lock for too long.
  if (error instanceof pg.DatabaseError) return /^(08|57P|53|40|57014|55P03)/.test(code)
  return networkCodes.includes(code)
}

interface Refusal {
  readonly code: 'DATABASE_UNREACHABLE' | 'DATABASE_UNFIT' | 'CONFIG_INVALID'
  readonly message: string
  readonly hint: string
}

const unreachable = (message: string, hint: string): Refusal => ({ code: 'DATABASE_UNREACHABLE', message, hint })
const unfit = (message: string, hint: string): Refusal => ({ code: 'DATABASE_UNFIT', message, hint })

/** @see https://www.postgresql.org/docs/current/errcodes-appendix.html */
function refusal(
  { code: sqlState, message }: { readonly code: string; readonly message: string },
  where: string,
  setting: string,
): Refusal | undefined {
  if (sqlState.startsWith('28')) {
    return unreachable(
      `Postgres at ${where} refused the login (${sqlState})`,
      `Check user and password in ${setting} (special characters are percent-encoded), and the rules in pg_hba.conf.`,
    )
  }
  if (sqlState === '3D000') {
    return unreachable(`The database ${where} does not exist`, `Check the name after the last slash of ${setting}.`)
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
    // Postgres' sentence names the object, and holds no value.
    return unfit(
      `The role of ${setting} lacks a right in ${where} (${sqlState}): ${message}`,
      'GRANT the right, or use the role that owns it; safetykit-sync doctor says what is lacking, as SQL.',
    )
  }
  if (sqlState === '25006') {
    return unfit(
      `${where} takes no writes now (${sqlState}): it is a standby, or read-only`,
      `Let ${setting} name the primary server. If it is that, look where it was made read-only: SELECT source, setting FROM pg_settings WHERE name = 'default_transaction_read_only'; providers set it while a disk is full.`,
    )
  }
  if (sqlState === '57014' || sqlState === '55P03') {
    const why = sqlState === '57014' ? 'cancelled a statement' : 'did not get a lock in time'
    return unfit(
      `Postgres at ${where} ${why} (${sqlState})`,
      'Something holds a lock or the server is slow: SELECT pid, state, query FROM pg_stat_activity WHERE xact_start IS NOT NULL ORDER BY xact_start; once that has ended, run it again. If nothing does, the lock_timeout of the role may be too short.',
    )
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
