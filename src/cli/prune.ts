import { type Command, InvalidArgumentError } from 'commander'
import { type PruneProgress, type PruneReport, prune } from '../operate/prune.js'
import { endProcess } from './end-process.js'
import { exitCodes } from './exit-codes.js'
import { LiveLines } from './live-lines.js'
import { loadConfig } from './load-config.js'
import { addConfigOptions, addHelp, type ConfigFlags, environmentHelp } from './options.js'
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

const days = 24 * 3_600_000
/** For so long SafetyKit may still answer, and a webhook come again. */
const leastDays = 7
const statementTimeoutMs = 60_000

export function addPrune(program: Command): void {
  const command = program
    .command('prune')
    .summary('delete old submissions, requests and webhooks of the side tables')
    .description(
      'Deletes what is old and not needed any more of the side tables: submissions, requests of which no submission is ' +
        'left, webhooks that were applied, heartbeats of processes that are gone, scans that came to their end. Never the ' +
        'submission or the request that an object was last accepted or evaluated by, nor a request that is open. It works ' +
        'in small transactions with rests between them, beside everything else. On SIGTERM or SIGINT it ends after the ' +
        'one that is under way, with 143 or 130; the next prune does the rest.',
    )
    .option('--older-than <days>', `what is older, as 90d or 26w; ${leastDays}d at least`, age, 90 * days)
    .option('--batch <rows>', 'rows that are looked at in a transaction, about (default: 5000)', wholeNumberAboveZero)
    .option('--dry-run', 'count them, and delete nothing')
    .option('--json', 'print it as one JSON object')
    .action(runPrune)
  command.options.find(({ long }) => long === '--older-than')?.default(90 * days, '90d')
  addConfigOptions(command)
  addHelp(
    command,
    `Environment:\n${environmentHelp.database}\n${environmentHelp.file}

PostgreSQL uses the space for new rows; it does not give it back to the disk.

Examples:
  safetykit-sync prune --dry-run
  safetykit-sync prune --older-than 30d
  0 4 * * *  safetykit-sync prune        (as a line of a crontab)`,
  )
}

async function runPrune({ olderThan, batch, dryRun, ...flags }: Flags): Promise<void> {
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
  const connecting = { url: resolved.ledgerUrl ?? url, command: 'prune', statementTimeoutMs }
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

const unitDays: Readonly<Record<string, number>> = { d: 1, w: 7 }

function age(text: string): number {
  const [, number, unit = ''] = /^(\d{1,5})([dw])$/.exec(text) ?? []
  const given = Number(number) * (unitDays[unit] ?? Number.NaN)
  if (given >= leastDays) return given * days
  throw new InvalidArgumentError(
    Number.isNaN(given)
      ? 'It has to be a number of days or weeks, as 90d or 26w.'
      : `Results and webhooks of the last ${leastDays} days may still come: say ${leastDays}d or more.`,
  )
}

function wholeNumberAboveZero(text: string): number {
  const number = Number(text)
  if (/^\d+$/.test(text) && number > 0 && Number.isSafeInteger(number)) return number
  throw new InvalidArgumentError('It has to be a whole number above 0.')
}
