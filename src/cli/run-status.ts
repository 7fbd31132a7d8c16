import { readStatus } from '../operate/status.js'
import { schemaOf } from '../pipeline/databases.js'
import { loadConfig } from './load-config.js'
import type { ConfigFlags } from './options.js'
import { databaseUrl, loadEnvFile } from './settings.js'
import { formatStatus } from './status-text.js'
import { paintFor, print, printJson } from './terminal.js'
import { withClient } from './with-client.js'

interface Flags extends ConfigFlags {
  readonly json?: true
}

/** No part of the status takes as long on a sound database. */
const statementTimeoutMs = 30_000

export async function runStatus(flags: Flags): Promise<void> {
  loadEnvFile()
  const url = databaseUrl(flags)
  const { resolved } = await loadConfig(flags.config)
  const defaultSchema = schemaOf(url)
  const { ledgerUrl } = resolved
  const connecting = { command: 'status', statementTimeoutMs }
  const report = await withClient({ ...connecting, url }, (source) =>
    ledgerUrl === null
      ? readStatus({ resolved, source, ledger: source, defaultSchema })
      : withClient({ ...connecting, url: ledgerUrl, setting: 'ledgerUrl' }, (ledger) =>
          readStatus({ resolved, source, ledger, defaultSchema }),
        ),
  )
  if (flags.json) return printJson(report)
  print(process.stdout, formatStatus(report, paintFor(process.stdout)))
}
