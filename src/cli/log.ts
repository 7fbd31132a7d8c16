import { type Level, pino } from 'pino'
import { prettyFactory } from 'pino-pretty'
import { secrets } from '../environment.js'
import { loggable } from '../loggable.js'
import type { Logger } from '../logger.js'
import { redact } from '../redact.js'
import type { LogLevel } from './options.js'
import { wantsColor } from './terminal.js'

export interface LogOptions {
  readonly level: LogLevel
  readonly stream: { readonly isTTY?: boolean | undefined; write(text: string): unknown }
}

/** Logs to a stream: readable in a terminal, elsewhere one JSON object a line (`level`, `time`, `msg`, and the fields). */
export function createLogger({ level, stream }: LogOptions): Logger {
  // Not pino's own transport: that is a worker thread, and lines of the last moment would be lost.
  const pretty = stream.isTTY
    ? prettyFactory({ colorize: wantsColor(stream, process.env), singleLine: true, translateTime: 'SYS:HH:MM:ss.l' })
    : undefined
  const write = (line: string): void => {
    stream.write(redact(pretty === undefined ? line : pretty(line), secrets()))
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
