import { type Command, InvalidArgumentError, Option } from 'commander'
import { SyncError } from '../errors.js'
import { readRefusedGroups, retry } from '../operate/retry.js'
import type { RefusedGroup, RetryFilter } from '../operate/retry-report.js'
import { schemaOf } from '../pipeline/databases.js'
import { loadConfig } from './load-config.js'
import { addConfigOptions, addHelp, type ConfigFlags, environmentHelp, listed } from './options.js'
import { formatNothing, formatRetry, nothingFound } from './retry-text.js'
import { databaseUrl, loadEnvFile } from './settings.js'
import { paintFor, print, printJson } from './terminal.js'
import { withClient } from './with-client.js'

interface Flags extends ConfigFlags {
  readonly namespace?: readonly string[]
  readonly id?: readonly string[]
  readonly code?: readonly string[]
  readonly state?: 'parked' | 'dead'
  readonly all?: true
  readonly limit?: number
  readonly dryRun?: true
  readonly json?: true
}

const statementTimeoutMs = 60_000

export function addRetry(program: Command): void {
  const command = program
    .command('retry')
    .summary('send refused objects again: parked and dead ones')
    .description(
      'Has objects sent again that the API refused, or of which no object could be made: by namespace, id, error code or ' +
        'state. It only notes their keys, so it needs no API key and is done at once; whoever delivers sends them, as ' +
        'their rows are then. It may run beside a sidecar, be killed, and be repeated.',
    )
    .option('--namespace <name>', 'only of this namespace; can be given again', listed)
    .option('--id <id>', 'only this object; can be given again', listed)
    .option('--code <code>', 'only those refused with this error code, as status shows it; can be given again', listed)
    .addOption(new Option('--state <state>', 'only those in this state').choices(['parked', 'dead']))
    .option('--all', 'all of them, where nothing else is said')
    .option('--limit <objects>', 'so many at most', wholeNumberAboveZero)
    .option('--dry-run', 'say what would be sent again, and change nothing')
    .option('--json', 'print it as one JSON object')
    .action(runRetry)
  addConfigOptions(command)
  addHelp(
    command,
    `Environment:\n${environmentHelp.database}\n${environmentHelp.file}

A parked object is tried again by itself; a dead one has used up its attempts, or failed in a way that does not pass. How
often they were refused is forgotten. Objects that wait to be sent already are left as they are, unless --id names them.

Examples:
  safetykit-sync retry --all --dry-run
  safetykit-sync retry --state dead --namespace products
  safetykit-sync retry --code API_REJECTED --limit 100
  safetykit-sync retry --namespace products --id 17 --id 18`,
  )
}

async function runRetry(flags: Flags): Promise<void> {
  const { namespace: namespaces, id: ids, code: codes, state, limit } = flags
  const filter: RetryFilter = { namespaces, ids, codes, state }
  const isFiltered = Object.values(filter).some((value) => value !== undefined)
  if (!isFiltered && !flags.all && !flags.dryRun) {
    throw new SyncError('ARGUMENT_INVALID', 'retry was not told which objects', {
      hint: 'Say --all, or which: --state dead, --namespace products, --code API_REJECTED, --id 17. --dry-run shows what there is.',
    })
  }
  if (isFiltered && flags.all) {
    throw new SyncError('ARGUMENT_INVALID', '--all contradicts the other options', { hint: 'Leave one of them out.' })
  }
  loadEnvFile()
  const url = databaseUrl(flags)
  const { resolved } = await loadConfig(flags.config)
  const defaultSchema = schemaOf(url)
  const connecting = { url: resolved.ledgerUrl ?? url, command: 'retry', statementTimeoutMs }
  const { report, there } = await withClient(connecting, async (ledger) => {
    const report = await retry({ resolved, ledger, defaultSchema, filter, limit, dryRun: flags.dryRun })
    const there: readonly RefusedGroup[] = nothingFound(report) ? await readRefusedGroups(ledger, resolved.schema) : []
    return { report, there }
  })
  if (flags.json) return printJson({ ...report, ...(nothingFound(report) ? { refused: there } : {}) })
  const paint = paintFor(process.stdout)
  print(
    process.stdout,
    nothingFound(report) ? formatNothing(filter, there) : formatRetry(report, resolved.deliver, paint),
  )
}

function wholeNumberAboveZero(text: string): number {
  const number = Number(text)
  if (/^\d+$/.test(text) && number > 0 && Number.isSafeInteger(number)) return number
  throw new InvalidArgumentError('It has to be a whole number above 0.')
}
