import type { Command } from 'commander'
import pg from 'pg'
import { databaseAddress, explainingDatabase } from '../database-errors.js'
import { SyncError } from '../errors.js'
import { readStatus } from '../operate/status.js'
import { schemaOf } from '../pipeline/databases.js'
import { loadConfig } from './load-config.js'
import { addConfigOptions, addHelp, type ConfigFlags, environmentHelp } from './options.js'
import { databaseUrl, loadEnvFile } from './settings.js'
import { formatStatus } from './status-text.js'
import { paintFor, print, printJson } from './terminal.js'

interface Flags extends ConfigFlags {
  readonly json?: true
}

/** No part of the status takes as long on a sound database. */
const statementTimeoutMs = 30_000
const connectTimeoutMs = 10_000

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
  const report = await withClient(url, (source) =>
    resolved.ledgerUrl === null
      ? readStatus({ resolved, source, ledger: source, defaultSchema })
      : withClient(resolved.ledgerUrl, (ledger) => readStatus({ resolved, source, ledger, defaultSchema })),
  )
  if (flags.json) return printJson(report)
  print(process.stdout, formatStatus(report, paintFor(process.stdout)))
}

function withClient<T>(url: string, use: (client: pg.Client) => Promise<T>): Promise<T> {
  return explainingDatabase(url, async () => {
    const client = new pg.Client({
      connectionString: url,
      application_name: 'safetykit-sync status',
      connectionTimeoutMillis: connectTimeoutMs,
      statement_timeout: statementTimeoutMs,
    })
    let lost: Error | undefined
    // Without a listener, a connection that breaks between two queries would end the process.
    client.on('error', (error) => {
      lost = error
    })
    try {
      await connect(client, url)
      return await use(client)
    } catch (error) {
      throw lost ?? error
    } finally {
      await client.end().catch(() => {})
    }
  })
}

async function connect(client: pg.Client, url: string): Promise<void> {
  try {
    await client.connect()
  } catch (error) {
    // The time-out of `pg` has no code.
    if (error instanceof Error && 'code' in error) throw error
    throw new SyncError('DATABASE_UNREACHABLE', `No connection to Postgres at ${databaseAddress(url)}`, {
      cause: error,
      hint: `Check the host, the port and sslmode in DATABASE_URL; it was tried for ${connectTimeoutMs / 1_000} s at most.`,
    })
  }
}
