import type { Command } from 'commander'
import { explainingDatabase } from '../database-errors.js'
import { migrate } from '../pipeline.js'
import { loadConfig } from './load-config.js'
import { createLogger } from './log.js'
import { addConfigOptions, addHelp, addLogLevel, type ConfigFlags, environmentHelp, type LogFlags } from './options.js'
import { databaseUrl, loadEnvFile } from './settings.js'
import { paintFor, print, printJson } from './terminal.js'

interface Flags extends ConfigFlags, LogFlags {
  readonly json?: true
}

export function addMigrate(program: Command): void {
  const command = program
    .command('migrate')
    .summary('make or upgrade the side tables, and the triggers or the publication and the slot')
    .description(
      'Makes or upgrades what a sync needs in the database: the side tables, and by the setting `capture` the triggers, ' +
        'or the publication and the replication slot. It can be run again at any time, and by several processes at ' +
        'once. A table in use is not held up: it waits for a moment without writers.',
    )
    .option('--json', 'print what was done as JSON')
    .action(runMigrate)
  addConfigOptions(command)
  addLogLevel(command, 'warn')
  addHelp(
    command,
    `Environment:\n${environmentHelp.database}\n${environmentHelp.file}

Example:
  safetykit-sync migrate --config safetykit.config.ts`,
  )
}

async function runMigrate(flags: Flags): Promise<void> {
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
