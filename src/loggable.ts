import { isSyncError, messageOf } from './errors.js'
import type { LogFields } from './logger.js'

/** The fields of a line as plain values: errors without what hangs on them, and numbers that JSON can hold. */
export function loggable(fields: LogFields = {}): Record<string, unknown> {
  return Object.fromEntries(Object.entries(fields).map(([name, value]) => [name, loggableValue(value)]))
}

function loggableValue(value: unknown): unknown {
  if (value instanceof Error) return loggableError(value)
  return typeof value === 'bigint' ? String(value) : value
}

/** Never the error itself: `detail`, `where` and `parameters` of Postgres' errors hold values of rows. */
function loggableError(error: Error): Record<string, unknown> {
  if (isSyncError(error)) {
    const { code, message, hint } = error
    return { code, message, ...(hint === undefined ? {} : { hint }) }
  }
  const code = 'code' in error ? error.code : undefined
  return { name: error.name, ...(code === undefined ? {} : { code }), message: messageOf(error) }
}
