import type { Mapping, ResolvedSync } from '../config/resolved.js'
import { explainingDatabase } from '../database-errors.js'
import { proxy, webhookSecrets } from '../environment.js'
import type { Logger } from '../logger.js'
import type { Monitor } from '../operate/monitor.js'
import { openWebhook } from '../pipeline/webhook.js'
import type { Pipeline } from '../pipeline.js'
import { endProcess } from './end-process.js'
import { exitCodes } from './exit-codes.js'
import { loadConfig } from './load-config.js'
import { createLogger } from './log.js'
import { startMetricsServer } from './metrics-server.js'
import type { ConfigFlags, LogFlags } from './options.js'
import { apiKey, baseUrl, databaseUrl, loadEnvFile } from './settings.js'
import { startChecked } from './start.js'
import { onStopSignals } from './stop-signals.js'
import { startWebhookServer } from './webhook-server.js'

interface Flags extends ConfigFlags, LogFlags {
  readonly baseUrl?: string
  readonly webhookPort?: number
  readonly webhookHost: string
  readonly metricsPort?: number
  readonly metricsHost: string
}

export async function runSidecar(flags: Flags): Promise<void> {
  loadEnvFile()
  const settings = { databaseUrl: databaseUrl(flags), apiKey: apiKey(), baseUrl: baseUrl(flags), proxy: proxy() }
  const { resolved } = await loadConfig(flags.config)
  const logger = createLogger({ level: flags.logLevel, stream: process.stdout })
  const { slot, publication, capture, mappings } = resolved
  logger.info('Starting', {
    mappings: mappings.map(describe),
    ...(capture === 'replication' ? { slot: slot.name, publication: publication.name } : { capture }),
  })
  const { databaseUrl: url } = settings
  const opened = { resolved, databaseUrl: url, logger }
  const metrics = await serveMetrics(flags, opened)
  try {
    const closeWebhooks = await serveWebhooks(flags, opened)
    try {
      await explainingDatabase(url, () =>
        untilStopped({
          start: () => startChecked({ resolved, ...settings, meter: metrics.monitor?.meter, logger }),
          monitor: metrics.monitor,
          logger,
        }),
      )
    } finally {
      await closeWebhooks()
    }
  } finally {
    await metrics.close()
  }
}

interface Opened {
  readonly resolved: ResolvedSync
  readonly databaseUrl: string
  readonly logger: Logger
}

interface ServedMetrics {
  readonly monitor: Monitor | null
  close(): Promise<void>
}

/** From before the database is looked at until the very end, so that what a start or a stop waits for is told. */
async function serveMetrics({ metricsPort: port, metricsHost: host }: Flags, opened: Opened): Promise<ServedMetrics> {
  if (port === undefined) return { monitor: null, close: async () => {} }
  const { logger } = opened
  const { Monitor } = await import('../operate/monitor.js')
  const monitor = new Monitor(opened)
  const server = await startMetricsServer({ port, host, monitor, logger })
  logger.info('Metrics are served', { host, port: server.port, paths: ['/metrics', '/healthz', '/readyz'] })
  return {
    monitor,
    async close() {
      await server.close()
      await monitor.close()
    },
  }
}

/** Before anything is taken: a port that is in use, or a secret that is missing, is told at once. */
async function serveWebhooks(
  { webhookPort: port, webhookHost: host }: Flags,
  { resolved, databaseUrl, logger }: Opened,
): Promise<() => Promise<void>> {
  if (port === undefined) return async () => {}
  const webhook = openWebhook({
    resolved,
    databaseUrl: resolved.ledgerUrl ?? databaseUrl,
    secrets: webhookSecrets(),
    logger,
  })
  const server = await startWebhookServer({ port, host, handle: (request) => webhook.receive(request), logger })
  logger.info('Webhooks are taken', { host, port: server.port, path: '/webhook' })
  return async () => {
    await server.close()
    await webhook.close()
  }
}

/** Runs the pipeline until it ends by itself, with an error, or by a signal. */
async function untilStopped({
  start,
  monitor,
  logger,
}: {
  readonly start: () => Promise<Pipeline>
  readonly monitor: Monitor | null
  readonly logger: Logger
}): Promise<void> {
  let pipeline: Pipeline | undefined
  const release = onStopSignals((signal, count) => {
    monitor?.stopping()
    if (pipeline === undefined) {
      logger.info('Stopped before anything was taken', { signal })
      endProcess(exitCodes.ok)
    } else if (count === 1) {
      logger.info('Stopping: what is in flight is settled first', { signal })
      pipeline.stop().catch((error: unknown) => logger.error('It could not be stopped in order', { error }))
    } else {
      logger.warn('Stopped at once: what is not settled comes again at the next start', { signal })
      pipeline.abandon()
      endProcess(exitCodes.failure)
    }
  })
  // Nothing that a pipeline waits for keeps a process alive by itself.
  const alive = setInterval(() => {}, 60_000)
  try {
    pipeline = await start()
    monitor?.watch(pipeline)
    await pipeline.done
    logger.info('Stopped')
  } finally {
    clearInterval(alive)
    release()
  }
}

const describe = ({ table, namespace }: Mapping): string =>
  `${table.schema === null ? '' : `${table.schema}.`}${table.name} → ${namespace}`
