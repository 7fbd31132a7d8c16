import { explainingDatabase } from '../database-errors.js'
import { proxy } from '../environment.js'
import type { BackfillProgress, BackfillReport, BackfillRequest } from '../pipeline/backfill/report.js'
import type { Pipeline } from '../pipeline.js'
import { endProcess } from './end-process.js'
import { type ExitCode, exitCodes } from './exit-codes.js'
import { keepHeapSmall } from './heap.js'
import { LiveLines } from './live-lines.js'
import { loadConfig } from './load-config.js'
import { createLogger } from './log.js'
import type { ConfigFlags, LogFlags, RowFlags } from './options.js'
import { ProgressDisplay } from './progress-display.js'
import { formatParked, formatReport } from './progress-text.js'
import { apiKey, baseUrl, databaseUrl, loadEnvFile } from './settings.js'
import { startChecked } from './start.js'
import { onStopSignals, type StopSignal } from './stop-signals.js'
import { paintFor, print } from './terminal.js'

interface Flags extends ConfigFlags, LogFlags, RowFlags {
  readonly force?: true
  readonly limit?: number
  readonly baseUrl?: string
  readonly json?: true
}

const drawEveryMs = 100

const importsAreProcessed =
  'SafetyKit may still be at work on the imports. A worker has to run for what comes of them: safetykit-sync run, or an application that delivers.'

export async function runBackfill(flags: Flags): Promise<void> {
  keepHeapSmall()
  loadEnvFile()
  const settings = { databaseUrl: databaseUrl(flags), apiKey: apiKey(), baseUrl: baseUrl(flags), proxy: proxy() }
  const { resolved } = await loadConfig(flags.config)
  const { stdout, stderr } = process
  const lines =
    stderr.isTTY && process.env.TERM !== 'dumb' && !(flags.json && stdout.isTTY) ? new LiveLines(stderr) : null
  const json = flags.json === true || !stdout.isTTY
  const display = new ProgressDisplay({
    lines,
    paint: paintFor(stderr),
    emit: json ? (event) => print(stdout, JSON.stringify(event)) : null,
    now: Date.now,
  })
  const say = (text: string): void => {
    if (lines === null) stderr.write(text)
    else lines.above(text)
  }
  const logger = createLogger({ level: flags.logLevel, stream: { isTTY: stderr.isTTY, write: say } })
  const onProgress = (progress: BackfillProgress): void => {
    // How many rows it takes until so many objects were sent cannot be told.
    display.follow(flags.limit === undefined ? progress : { ...progress, estimatedRows: null })
  }
  const leave = (): void => display.leave()
  process.once('exit', leave)
  try {
    const ended = await explainingDatabase(settings.databaseUrl, () =>
      untilStopped({
        start: () => startChecked({ resolved, ...settings, logger }),
        request: { ...asked(flags), onProgress },
        tick: () => display.tick(),
        say,
      }),
    )
    if ('report' in ended) {
      const { report, parked } = ended
      display.finish(report, parked)
      if (!json) print(stdout, formatReport(report, display.seconds, paintFor(stdout), parked))
      if (parked > 0) print(stderr, formatParked(parked))
      if (json) return
      if (report.tables.some(({ imports }) => imports > 0)) print(stderr, importsAreProcessed)
      return
    }
    display.stopped(ended.signal)
    print(stderr, 'Stopped. The same command goes on where this one was.')
    endProcess(codeOf(ended.signal))
  } finally {
    display.leave()
    process.off('exit', leave)
  }
}

interface Running {
  readonly start: () => Promise<Pipeline>
  readonly request: BackfillRequest
  readonly tick: () => void
  readonly say: (text: string) => void
}

type Ended = { readonly report: BackfillReport; readonly parked: number } | { readonly signal: StopSignal }

/** Runs the backfill until it is done, until its pipeline fails, or until a signal. */
async function untilStopped({ start, request, tick, say }: Running): Promise<Ended> {
  const stopping = new AbortController()
  let pipeline: Pipeline | undefined
  let stoppedBy: StopSignal | undefined
  const release = onStopSignals((signal, count) => {
    if (pipeline === undefined) {
      say('Stopped before anything was sent.\n')
      endProcess(codeOf(signal))
    } else if (count === 1) {
      stoppedBy = signal
      say('Stopping: what is in flight is recorded first. A second signal ends it at once.\n')
      stopping.abort()
    } else {
      say('Stopped at once: what was not recorded is sent again by the same command.\n')
      pipeline.abandon()
      endProcess(exitCodes.failure)
    }
  })
  // It also keeps the process alive, which nothing that a pipeline waits for does.
  const ticks = setInterval(tick, drawEveryMs)
  try {
    const started = await start()
    pipeline = started
    try {
      const report = await backfilled(started, { ...request, signal: stopping.signal })
      if (stoppedBy === undefined) return { report, parked: started.counts.parked }
    } catch (error) {
      if (stoppedBy === undefined || !isAbort(error)) throw error
    } finally {
      // Where the pipeline has failed, that is the error, and not what the backfill made of it.
      await started.stop()
      await started.done
    }
    return { signal: stoppedBy }
  } finally {
    clearInterval(ticks)
    release()
  }
}

function backfilled(pipeline: Pipeline, request: BackfillRequest): Promise<BackfillReport> {
  const backfill = pipeline.backfill(request)
  return Promise.race([backfill, pipeline.done.then(() => backfill)])
}

const isAbort = (error: unknown): boolean => error instanceof Error && error.name === 'AbortError'

function asked({ model, table, where, force, limit }: Flags): BackfillRequest {
  return {
    ...(model === undefined ? {} : { models: model }),
    ...(table === undefined ? {} : { tables: table }),
    ...(where === undefined ? {} : { where }),
    ...(force === undefined ? {} : { force }),
    ...(limit === undefined ? {} : { limit }),
  }
}

const codeOf = (signal: StopSignal): ExitCode => (signal === 'SIGINT' ? exitCodes.interrupted : exitCodes.terminated)
