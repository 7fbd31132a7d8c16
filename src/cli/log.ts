import { type Level, pino } from 'pino'
import { prettyFactory } from 'pino-pretty'
import type { LogFields, Logger } from '../logger.js'
import { redact } from './redact.js'
import { isSyncError, messageOf } from './show-error.js'
import { wantsColor } from './terminal.js'

export const logLevels = ['debug', 'info', 'warn', 'error'] as const
export type LogLevel = (typeof logLevels)[number]

export interface LogOptions {
  readonly level: LogLevel
  readonly stream: NodeJS.WriteStream
}

/** Logs to a stream: readable in a terminal, elsewhere one JSON object a line (`level`, `time`, `msg`, and the fields). */
export function createLogger({ level, stream }: LogOptions): Logger {
  // Not pino's own transport: that is a worker thread, and lines of the last moment would be lost.
  const pretty = stream.isTTY
    ? prettyFactory({ colorize: wantsColor(stream, process.env), singleLine: true, translateTime: 'SYS:HH:MM:ss.l' })
    : undefined
  const write = (line: string): void => {
    stream.write(redact(pretty === undefined ? line : pretty(line), [process.env.SAFETYKIT_API_KEY]))
  }
  const logger = pino(
    {
      level: level satisfies Level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      ...(pretty === undefined ? { formatters: { level: (label) => ({ level: label }) } } : {}),
    },
    { write },
  )
  return {
    debug: (message, fields) => logger.debug(loggable(fields), message),
    info: (message, fields) => logger.info(loggable(fields), message),
    warn: (message, fields) => logger.warn(loggable(fields), message),
    error: (message, fields) => logger.error(loggable(fields), message),
  }
}

function loggable(fields: LogFields = {}): Record<string, unknown> {
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
