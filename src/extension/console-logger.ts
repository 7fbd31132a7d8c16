import { inspect } from 'node:util'
import { secrets } from '../environment.js'
import { isSyncError } from '../errors.js'
import { loggable } from '../loggable.js'
import type { LogFields, Logger } from '../logger.js'
import { redact } from '../redact.js'

/** The default logger of the extension: warnings and errors, one text each, to the application's console. */
export function consoleLogger(apiKey: string | undefined): Logger {
  const line =
    (level: 'warn' | 'error') =>
    (message: string, fields: LogFields = {}): void => {
      const text = `prisma-extension-safetykit: ${message}${described(fields)}`
      // biome-ignore lint/suspicious/noConsole: what this logger is for; `logger: false` or another one replaces it
      console[level](redact(text, [apiKey, ...secrets()]))
    }
  return { debug: () => {}, info: () => {}, warn: line('warn'), error: line('error') }
}

function described({ error, hint, ...fields }: LogFields): string {
  let text = ''
  if (Object.keys(fields).length > 0) text += ` ${inspect(loggable(fields), { breakLength: Number.POSITIVE_INFINITY })}`
  if (isSyncError(error)) text += `\n${error.code}: ${error.message}`
  else if (error !== undefined) text += `\n${inspect(loggable({ error }).error)}`
  const next = isSyncError(error) ? (error.hint ?? hint) : hint
  return typeof next === 'string' ? `${text}\n→ ${next}` : text
}
