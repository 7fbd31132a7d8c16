import type { Command } from 'commander'
import { addConfigOptions, addHelp, environmentHelp } from './options.js'

export function addStatus(program: Command): void {
  const command = program
    .command('status')
    .summary('lag, counts by state, what waits, the last errors')
    .description(
      'Shows how the sync stands, whether a sidecar runs or not: how far behind it is in bytes and seconds, objects by ' +
        'state, requests by status, keys that wait, and the last errors. Large tables are estimated (~).',
    )
    .option('--json', 'print it as one JSON object')
    .action(async (flags) => (await import('./run-status.js')).runStatus(flags))
  addConfigOptions(command)
  addHelp(
    command,
    `Environment:\n${environmentHelp.database}\n${environmentHelp.file}

Examples:
  safetykit-sync status
  safetykit-sync status --json | jq .slot.lagSeconds`,
  )
}
