import { type Command, InvalidArgumentError, Option } from 'commander'
import { addConfigOptions, addHelp, environmentHelp, listed } from './options.js'

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
    .action(async (flags) => (await import('./run-retry.js')).runRetry(flags))
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

function wholeNumberAboveZero(text: string): number {
  const number = Number(text)
  if (/^\d+$/.test(text) && number > 0 && Number.isSafeInteger(number)) return number
  throw new InvalidArgumentError('It has to be a whole number above 0.')
}
