import type { Command } from 'commander'
import { addConfigOptions, addHelp, addLogLevel, environmentHelp } from './options.js'

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
    .action(async (flags) => (await import('./run-migrate.js')).runMigrate(flags))
  addConfigOptions(command)
  addLogLevel(command, 'warn')
  addHelp(
    command,
    `Environment:\n${environmentHelp.database}\n${environmentHelp.file}

Example:
  safetykit-sync migrate --config safetykit.config.ts`,
  )
}
