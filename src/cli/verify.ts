import type { Command } from 'commander'
import { addConfigOptions, addHelp, addLogLevel, addRowOptions, environmentHelp } from './options.js'

export function addVerify(program: Command): void {
  const command = addRowOptions(
    program
      .command('verify')
      .summary('compare every row with what SafetyKit has accepted')
      .description(
        'Walks the mapped tables and compares every row with what SafetyKit has accepted, by the side tables. It sends and ' +
          'writes nothing, needs no API key, and may run beside everything else: what seems to differ is looked at again ' +
          'at the end, since rows change meanwhile. The exit code is 1 where anything differs.',
      ),
  )
    .option('--json', 'print it as one JSON object')
    .action(async (flags) => (await import('./run-verify.js')).runVerify(flags))
  addConfigOptions(command)
  addLogLevel(command, 'warn')
  addHelp(
    command,
    `Environment:\n${environmentHelp.database}\n${environmentHelp.file}

What it counts, for each namespace of a table:
  in step    SafetyKit has accepted what the row says
  missing    it has accepted nothing of it
  different  it has accepted something else
  parked     it has refused it, and it is tried again (see status)
  dead       it has refused it for good
  gone       it has accepted it, and the row is not there any more (not counted with --where);
             with onDelete: 'ignore' that is as it should be
  untold     the object's id does not tell whether its row is there

"safetykit-sync backfill" sends what is missing or different.

Examples:
  safetykit-sync verify
  safetykit-sync verify --table public.products --where "created_at > now() - interval '30 days'"
  safetykit-sync verify --json | jq '.tables[].mappings[] | {namespace, missing, different}'`,
  )
}
