import type { ResolvedSync } from '../config/resolved.js'
import { explainingDatabase } from '../database-errors.js'
import { apiKey, baseUrl, proxy } from '../environment.js'
import type { EventSink } from '../events.js'
import type { Logger } from '../logger.js'
import { checkInstalled } from '../pipeline/check-installed.js'
import { startPipeline } from '../pipeline.js'
import { detached } from '../tracing.js'
import { type ExtensionOptions, given, urlOf } from './options.js'
import type { Running } from './worker.js'

export interface StartOptions {
  readonly resolved: ResolvedSync
  readonly options: ExtensionOptions
  readonly logger: Logger
  readonly events: EventSink
  /** Says what does not stand in the way. */
  readonly tell: (problem: Error) => void
  /** Gives up on a start that gets no answer from the database. */
  readonly signal: AbortSignal
}

/**
 * Checks what is installed, and starts the worker where the application delivers.
 * @throws {SyncError} where it cannot start; under `strict` also where something does not fit that it could do without.
 */
export async function start({
  resolved,
  options,
  logger,
  events,
  tell,
  signal,
}: StartOptions): Promise<Running | null> {
  const databaseUrl = urlOf(options)
  const inline = resolved.deliver === 'inline'
  // Before anything is asked of the database: what is missing is told at once.
  const api = inline
    ? {
        apiKey: apiKey(given(options, 'apiKey')),
        baseUrl: baseUrl(given(options, 'baseUrl')),
        proxy: proxy(),
      }
    : null
  return explainingDatabase(databaseUrl, async () => {
    for (const problem of await checkInstalled({ resolved, databaseUrl, logger, signal })) {
      if (resolved.strict) throw problem
      tell(problem)
    }
    if (api === null) return null
    // The operation that came first has a trace of its own, of which the deliveries for later ones are no part.
    return detached(() => startPipeline({ resolved, databaseUrl, ...api, logger, events, signal }))
  })
}
