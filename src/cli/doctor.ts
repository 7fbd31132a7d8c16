import type { Command } from 'commander'
import { addConfigOptions, addHelp, environmentHelp } from './options.js'

export function addDoctor(program: Command): void {
  const command = program
    .command('doctor')
    .summary('look at everything that a sync rests on, and say what mends what is wrong')
    .description(
      'Looks at everything that a sync rests on: the configuration, the database and what "migrate" has made in it, the ' +
        'processes, the way to the API and the key. It says what was found, why it matters, and the exact SQL, command ' +
        'or setting that mends it. It changes nothing, and may run beside everything else. The exit code is 1 where ' +
        'anything fails, and 0 with warnings alone.',
    )
    .option('--write', 'also push the settings of the namespaces, to see whether the key may write')
    .option('--base-url <url>', 'the API (default: SAFETYKIT_BASE_URL, else https://api.safetykit.com)')
    .option('--json', 'print it as one JSON object')
    .action(async (flags) => (await import('./run-doctor.js')).runDoctor(flags))
  addConfigOptions(command)
  addHelp(
    command,
    `Environment:\n${environmentHelp.database}\n${environmentHelp.api}\n${environmentHelp.webhook}\n${environmentHelp.file}

Examples:
  safetykit-sync doctor
  safetykit-sync doctor --write
  safetykit-sync doctor --json | jq '.findings[] | select(.status == "failure") | {check, found, fix}'`,
  )
}
