import { type PruneProgress, type PruneReport, prune } from '../operate/prune.js'
import { endProcess } from './end-process.js'
import { exitCodes } from './exit-codes.js'
import { LiveLines } from './live-lines.js'
import { loadConfig } from './load-config.js'
import type { ConfigFlags } from './options.js'
import { databaseUrl, loadEnvFile } from './settings.js'
import { onStopSignals, type StopSignal } from './stop-signals.js'
import { paintFor, print, printJson } from './terminal.js'
import { withClient } from './with-client.js'

interface Flags extends ConfigFlags {
  readonly olderThan: number
  readonly batch?: number
  readonly dryRun?: true
  readonly json?: true
}

const statementTimeoutMs = 60_000

export async function runPrune({ olderThan, batch, dryRun, ...flags }: Flags): Promise<void> {
  loadEnvFile()
  const url = databaseUrl(flags)
  const { resolved } = await loadConfig(flags.config)
  const { stderr } = process
  const lines = stderr.isTTY && process.env.TERM !== 'dumb' ? new LiveLines(stderr) : null
  const stopping = new AbortController()
  let stoppedBy: StopSignal | undefined
  const release = onStopSignals((signal, count) => {
    if (count > 1) endProcess(exitCodes.failure)
    stoppedBy = signal
    stopping.abort()
  })
  const leave = (): void => lines?.end()
  // The second signal ends the process at once, and the cursor is not to stay hidden.
  process.once('exit', leave)
  const { ledgerUrl } = resolved
  const place = ledgerUrl === null ? { url } : { url: ledgerUrl, setting: 'ledgerUrl' }
  const connecting = { ...place, command: 'prune', statementTimeoutMs }
  try {
    const report = await withClient(connecting, (ledger) =>
      prune({
        ledger,
        schema: resolved.schema,
        olderThanMs: olderThan,
        ...(batch === undefined ? {} : { batch }),
        dryRun: dryRun === true,
        signal: stopping.signal,
        onProgress: (progress) => lines?.draw([formatProgress(progress)]),
      }),
    )
    lines?.draw([])
    if (flags.json) printJson(report)
    else print(process.stdout, formatPruned(report))
    if (!report.finished) endProcess(stoppedBy === 'SIGINT' ? exitCodes.interrupted : exitCodes.terminated)
  } finally {
    lines?.end()
    process.off('exit', leave)
    release()
  }
}

const formatProgress = ({ page, pages, submissions, requests }: PruneProgress): string =>
  `${Math.min(100, Math.floor((100 * page) / pages))} %  ${submissions} submissions, ${requests} requests`

function formatPruned({ dryRun, before, finished, ...counts }: PruneReport): string {
  const { submissions, requests, webhooks, heartbeats, scans } = counts
  const none = Object.values(counts).every((count) => count === 0)
  const paint = paintFor(process.stdout)
  const listed = `${submissions} submissions, ${requests} requests, ${webhooks} webhooks, ${heartbeats} heartbeats, ${scans} scans`
  const said = none
    ? `Nothing to delete from before ${before}`
    : dryRun
      ? `From before ${before} it would delete (--dry-run: nothing was deleted): ${listed}`
      : `${paint('green', '✓')} Deleted from before ${before}: ${listed}`
  return finished ? said : `${said}\nStopped before the end. The same command does the rest.`
}
