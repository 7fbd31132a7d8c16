import type { Command } from 'commander'
import type { Mapping } from '../config/resolved.js'
import { explainingDatabase } from '../database-errors.js'
import { proxy } from '../environment.js'
import type { Logger } from '../logger.js'
import { checkInstalled } from '../pipeline/check-installed.js'
import { type Pipeline, startPipeline } from '../pipeline.js'
import { endProcess } from './end-process.js'
import { exitCodes } from './exit-codes.js'
import { loadConfig } from './load-config.js'
import { createLogger } from './log.js'
import { addConfigOptions, addHelp, addLogLevel, type ConfigFlags, environmentHelp, type LogFlags } from './options.js'
import { apiKey, baseUrl, databaseUrl, loadEnvFile } from './settings.js'
import { onStopSignals } from './stop-signals.js'

interface Flags extends ConfigFlags, LogFlags {
  readonly baseUrl?: string
}

export function addRun(program: Command): void {
  const command = program
    .command('run')
    .summary('deliver every change, until stopped')
    .description(
      'Reads the changes of the mapped tables and delivers them to SafetyKit, until it is stopped. On SIGTERM or SIGINT ' +
        'it takes no more, settles what is in flight and exits 0; a second signal ends it at once with 1, and what was ' +
        'not settled comes again at the next start.',
    )
    .option('--base-url <url>', 'the API (default: SAFETYKIT_BASE_URL, else https://api.safetykit.com)')
    .action(runSidecar)
  addConfigOptions(command)
  addLogLevel(command, 'info')
  addHelp(
    command,
    `Environment:\n${environmentHelp.database}\n${environmentHelp.api}\n${environmentHelp.file}

It logs to stdout: readable in a terminal, elsewhere one JSON object a line.

Examples:
  safetykit-sync run
  safetykit-sync run --config config/safetykit.config.ts --log-level debug`,
  )
}

async function runSidecar(flags: Flags): Promise<void> {
  loadEnvFile()
  const settings = { databaseUrl: databaseUrl(flags), apiKey: apiKey(), baseUrl: baseUrl(flags), proxy: proxy() }
  const { resolved } = await loadConfig(flags.config)
  const logger = createLogger({ level: flags.logLevel, stream: process.stdout })
  const { slot, publication, capture, mappings } = resolved
  logger.info('Starting', {
    mappings: mappings.map(describe),
    ...(capture === 'replication' ? { slot: slot.name, publication: publication.name } : { capture }),
  })
  await explainingDatabase(settings.databaseUrl, () =>
    untilStopped(async () => {
      for (const problem of await checkInstalled({ resolved, databaseUrl: settings.databaseUrl, logger })) {
        if (resolved.strict) throw problem
        logger.error(problem.message, { code: problem.code, hint: problem.hint })
      }
      return startPipeline({ resolved, ...settings, logger })
    }, logger),
  )
}

/** Runs the pipeline until it ends by itself, with an error, or by a signal. */
async function untilStopped(start: () => Promise<Pipeline>, logger: Logger): Promise<void> {
  let pipeline: Pipeline | undefined
  const release = onStopSignals((signal, count) => {
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
    await pipeline.done
    logger.info('Stopped')
  } finally {
    clearInterval(alive)
    release()
  }
}

const describe = ({ table, namespace }: Mapping): string =>
  `${table.schema === null ? '' : `${table.schema}.`}${table.name} → ${namespace}`
