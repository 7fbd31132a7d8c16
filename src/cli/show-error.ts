import { isSyncError, messageOf, SyncError } from '../errors.js'
import type { Paint } from './terminal.js'

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

/** The stacks only, not what hangs on the errors: Postgres' `detail` and `where` hold values of rows. */
function stacks(error: unknown): string[] {
  const found: string[] = []
  for (let at = error; at instanceof Error && found.length < 10; at = at.cause) {
    const stack = (at.stack ?? at.name).replace(at.message, () => messageOf(at))
    found.push(found.length === 0 ? stack : `caused by ${stack}`)
  }
  return found
}
