import type { Command } from 'commander'
import { explainingDatabase } from '../database-errors.js'
import type { VerifyProgress } from '../pipeline/verify/report.js'
import { verify } from '../pipeline/verify/verify.js'
import { endProcess } from './end-process.js'
import { exitCodes } from './exit-codes.js'
import { LiveLines } from './live-lines.js'
import { loadConfig } from './load-config.js'
import { createLogger } from './log.js'
import {
  addConfigOptions,
  addHelp,
  addLogLevel,
  addRowOptions,
  type ConfigFlags,
  environmentHelp,
  type LogFlags,
  type RowFlags,
} from './options.js'
import { databaseUrl, loadEnvFile } from './settings.js'
import { paintFor, print, printJson } from './terminal.js'
import { formatVerified, formatVerifyProgress } from './verify-text.js'

interface Flags extends ConfigFlags, LogFlags, RowFlags {
  readonly json?: true
}

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
    .action(runVerify)
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

async function runVerify(flags: Flags): Promise<void> {
  loadEnvFile()
  const url = databaseUrl(flags)
  const { resolved } = await loadConfig(flags.config)
  const { stderr } = process
  const lines = stderr.isTTY && process.env.TERM !== 'dumb' ? new LiveLines(stderr) : null
  const show = (progress: VerifyProgress): void => lines?.draw([formatVerifyProgress(progress)])
  const write = (text: string): void => {
    if (lines === null) stderr.write(text)
    else lines.above(text)
  }
  const logger = createLogger({ level: flags.logLevel, stream: { isTTY: stderr.isTTY, write } })
  const { model: models, table: tables, where } = flags
  try {
    const report = await explainingDatabase(url, () =>
      verify({ resolved, databaseUrl: url, logger, models, tables, where, onProgress: show }),
    )
    lines?.draw([])
    if (flags.json) printJson(report)
    else print(process.stdout, formatVerified(report, paintFor(process.stdout)))
    if (!report.inStep) endProcess(exitCodes.failure)
  } finally {
    lines?.end()
  }
}
