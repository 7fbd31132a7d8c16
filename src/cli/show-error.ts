import { SyncError } from '../errors.js'
import type { Paint } from './terminal.js'

/**
 * Whether an error is one of this package. A configuration file can have loaded the package a second time, so the class
 * alone does not tell.
 */
export function isSyncError(error: unknown): error is SyncError {
  return (
    error instanceof SyncError ||
    (error instanceof Error && ['SyncError', 'ConfigError'].includes(error.name) && 'code' in error)
  )
}

/** Any error as one that can be shown: what nobody has explained is a bug. */
export function asSyncError(error: unknown): SyncError {
  if (isSyncError(error)) return error
  const message = error instanceof Error ? messageOf(error) : String(error)
  return new SyncError('INTERNAL', message === '' ? 'An error without a message' : message, {
    cause: error,
    hint: 'This is not expected. Run it again with --verbose to see where it comes from.',
  })
}

/** `error CODE: message`, then `→ hint`; the stacks only when asked for. */
export function formatError(error: SyncError, options: { readonly paint: Paint; readonly verbose: boolean }): string {
  const { paint, verbose } = options
  const lines = [`${paint(['red', 'bold'], `error ${error.code}:`)} ${error.message}`]
  if (error.hint !== undefined) lines.push(`→ ${error.hint}`)
  if (verbose) lines.push('', ...stacks(error).map((stack) => paint('dim', stack)))
  return lines.join('\n')
}

/** The message, unless it is Postgres' about a value (SQLSTATE class 22): `invalid input syntax for type integer: "…"`. */
export function messageOf(error: Error): string {
  const code = 'code' in error ? error.code : undefined
  const quotes = typeof code === 'string' && /^22[0-9A-Z]{3}$/.test(code)
  return quotes ? `Postgres refused a value (${code})` : error.message
}

/** The stacks only, not what hangs on the errors: Postgres' `detail` and `where` hold values of rows. */
function stacks(error: unknown): string[] {
  const found: string[] = []
  for (let at = error; at instanceof Error && found.length < 10; at = at.cause) {
    const stack = (at.stack ?? at.name).replace(at.message, () => messageOf(at))
    found.push(found.length === 0 ? stack : `caused by ${stack}`)
  }
  return found
}
