import type { Command } from 'commander'
import { readStatus } from '../operate/status.js'
import { schemaOf } from '../pipeline/databases.js'
import { loadConfig } from './load-config.js'
import { addConfigOptions, addHelp, type ConfigFlags, environmentHelp } from './options.js'
import { databaseUrl, loadEnvFile } from './settings.js'
import { formatStatus } from './status-text.js'
import { paintFor, print, printJson } from './terminal.js'
import { withClient } from './with-client.js'

interface Flags extends ConfigFlags {
  readonly json?: true
}

/** No part of the status takes as long on a sound database. */
const statementTimeoutMs = 30_000

export function addStatus(program: Command): void {
  const command = program
    .command('status')
    .summary('lag, counts by state, what waits, the last errors')
    .description(
      'Shows how the sync stands, whether a sidecar runs or not: how far behind it is in bytes and seconds, objects by ' +
        'state, requests by status, keys that wait, and the last errors. Large tables are estimated (~).',
    )
    .option('--json', 'print it as one JSON object')
    .action(runStatus)
  addConfigOptions(command)
  addHelp(
    command,
    `Environment:\n${environmentHelp.database}\n${environmentHelp.file}

Examples:
  safetykit-sync status
  safetykit-sync status --json | jq .slot.lagSeconds`,
  )
}

async function runStatus(flags: Flags): Promise<void> {
  loadEnvFile()
  const url = databaseUrl(flags)
  const { resolved } = await loadConfig(flags.config)
  const defaultSchema = schemaOf(url)
  const { ledgerUrl } = resolved
  const connecting = { command: 'status', statementTimeoutMs }
  const report = await withClient({ ...connecting, url }, (source) =>
    ledgerUrl === null
      ? readStatus({ resolved, source, ledger: source, defaultSchema })
      : withClient({ ...connecting, url: ledgerUrl }, (ledger) =>
          readStatus({ resolved, source, ledger, defaultSchema }),
        ),
  )
  if (flags.json) return printJson(report)
  print(process.stdout, formatStatus(report, paintFor(process.stdout)))
}
