import { type Command, InvalidArgumentError } from 'commander'
import { addConfigOptions, addHelp, environmentHelp } from './options.js'

const days = 24 * 3_600_000
/** For so long SafetyKit may still answer, and a webhook come again. */
const leastDays = 7

export function addPrune(program: Command): void {
  const command = program
    .command('prune')
    .summary('delete old submissions, requests and webhooks of the side tables')
    .description(
      'Deletes what is old and not needed any more of the side tables: submissions, requests of which no submission is ' +
        'left, webhooks that were applied, heartbeats of processes that are gone, scans that came to their end. Never the ' +
        'submission or the request that an object was last accepted or evaluated by, nor a request that is open. It works ' +
        'in small transactions with rests between them, beside everything else. On SIGTERM or SIGINT it ends after the ' +
        'one that is under way, with 143 or 130; the next prune does the rest.',
    )
    .option('--older-than <days>', `what is older, as 90d or 26w; ${leastDays}d at least`, age, 90 * days)
    .option('--batch <rows>', 'rows that are looked at in a transaction, about (default: 5000)', wholeNumberAboveZero)
    .option('--dry-run', 'count them, and delete nothing')
    .option('--json', 'print it as one JSON object')
    .action(async (flags) => (await import('./run-prune.js')).runPrune(flags))
  command.options.find(({ long }) => long === '--older-than')?.default(90 * days, '90d')
  addConfigOptions(command)
  addHelp(
    command,
    `Environment:\n${environmentHelp.database}\n${environmentHelp.file}

PostgreSQL uses the space for new rows; it does not give it back to the disk.

Examples:
  safetykit-sync prune --dry-run
  safetykit-sync prune --older-than 30d
  0 4 * * *  safetykit-sync prune        (as a line of a crontab)`,
  )
}

const unitDays: Readonly<Record<string, number>> = { d: 1, w: 7 }

function age(text: string): number {
  const [, number, unit = ''] = /^(\d{1,5})([dw])$/.exec(text) ?? []
  const given = Number(number) * (unitDays[unit] ?? Number.NaN)
  if (given >= leastDays) return given * days
  throw new InvalidArgumentError(
    Number.isNaN(given)
      ? 'It has to be a number of days or weeks, as 90d or 26w.'
      : `Results and webhooks of the last ${leastDays} days may still come: say ${leastDays}d or more.`,
  )
}

function wholeNumberAboveZero(text: string): number {
  const number = Number(text)
  if (/^\d+$/.test(text) && number > 0 && Number.isSafeInteger(number)) return number
  throw new InvalidArgumentError('It has to be a whole number above 0.')
}
