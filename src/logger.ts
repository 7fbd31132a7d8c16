/** Fields of a log line: names, counts, ids and LSNs. Never row values, never keys. */
export type LogFields = Readonly<Record<string, unknown>>

/** What the package logs to: a constant message and fields. The library is silent unless it is given one. */
export interface Logger {
  debug(message: string, fields?: LogFields): void
  info(message: string, fields?: LogFields): void
  warn(message: string, fields?: LogFields): void
  error(message: string, fields?: LogFields): void
}

const nothing = (): void => {}

/** The default of every `logger` option. */
export const silentLogger: Logger = { debug: nothing, info: nothing, warn: nothing, error: nothing }
