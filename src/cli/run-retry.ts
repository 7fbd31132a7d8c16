import { SyncError } from '../errors.js'
import { readRefusedGroups, retry } from '../operate/retry.js'
import type { RefusedGroup, RetryFilter } from '../operate/retry-report.js'
import { schemaOf } from '../pipeline/databases.js'
import { loadConfig } from './load-config.js'
import type { ConfigFlags } from './options.js'
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

export async function runRetry(flags: Flags): Promise<void> {
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
  const { ledgerUrl } = resolved
  const place = ledgerUrl === null ? { url } : { url: ledgerUrl, setting: 'ledgerUrl' }
  const connecting = { ...place, command: 'retry', statementTimeoutMs }
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
