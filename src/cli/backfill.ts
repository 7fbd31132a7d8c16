import { type Command, InvalidArgumentError } from 'commander'
import { addConfigOptions, addHelp, addLogLevel, addRowOptions, environmentHelp } from './options.js'
import { eventsText } from './progress-events.js'

export function addBackfill(program: Command): void {
  const command = addRowOptions(
    program
      .command('backfill')
      .summary('send the rows that are there already')
      .description(
        'Walks the mapped tables and sends what SafetyKit does not have as it is: all of it the first time, nothing where ' +
          'all is in step. It may run beside a sidecar and beside the application, and again at any time. On SIGTERM or ' +
          'SIGINT it records what is in flight and exits 143 or 130; a second signal ends it at once with 1. The same ' +
          'command then goes on where it was, also after it was killed.',
      ),
  )
    .option('--force', 'send also what SafetyKit has accepted, or refused, as it is')
    .option('--limit <objects>', 'of each table, end once so many objects were sent', wholeNumberAboveZero)
    .option('--base-url <url>', 'the API (default: SAFETYKIT_BASE_URL, else https://api.safetykit.com)')
    .option('--json', 'print JSON lines, also in a terminal')
    .action(async (flags) => (await import('./run-backfill.js')).runBackfill(flags))
  addConfigOptions(command)
  addLogLevel(command, 'warn')
  addHelp(
    command,
    `Environment:\n${environmentHelp.database}\n${environmentHelp.api}\n${environmentHelp.file}

In a terminal it shows a bar for each table, on stderr, and what became of the tables at the end, on stdout. Where stdout
is no terminal, JSON lines are printed to it. It logs to stderr.

${eventsText}

Examples:
  safetykit-sync backfill
  safetykit-sync backfill --table public.products --where "created_at > now() - interval '30 days'"
  safetykit-sync backfill --model Product --force --limit 1000`,
  )
}

function wholeNumberAboveZero(text: string): number {
  const number = Number(text)
  if (/^\d+$/.test(text) && number > 0 && Number.isSafeInteger(number)) return number
  throw new InvalidArgumentError('It has to be a whole number above 0.')
}
