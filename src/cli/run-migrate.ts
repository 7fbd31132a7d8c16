import { explainingDatabase } from '../database-errors.js'
import { migrate } from '../pipeline/migrate.js'
import { loadConfig } from './load-config.js'
import { createLogger } from './log.js'
import type { ConfigFlags, LogFlags } from './options.js'
import { databaseUrl, loadEnvFile } from './settings.js'
import { paintFor, print, printJson } from './terminal.js'

interface Flags extends ConfigFlags, LogFlags {
  readonly json?: true
}

export async function runMigrate(flags: Flags): Promise<void> {
  loadEnvFile()
  const url = databaseUrl(flags)
  const { resolved } = await loadConfig(flags.config)
  const logger = createLogger({ level: flags.logLevel, stream: process.stderr })
  const { done } = await explainingDatabase(url, () => migrate({ resolved, databaseUrl: url, logger }))
  if (flags.json) return printJson({ done })
  if (done.length === 0) return print(process.stdout, 'Nothing to do')
  const paint = paintFor(process.stdout)
  for (const sentence of done) print(process.stdout, `${paint('green', '✓')} ${sentence}`)
}
