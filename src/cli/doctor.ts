import type { Command } from 'commander'
import { proxy, webhookSecrets } from '../environment.js'
import { examineSync } from '../operate/doctor/doctor.js'
import { formatDoctor } from './doctor-text.js'
import { endProcess } from './end-process.js'
import { exitCodes } from './exit-codes.js'
import { loadConfig } from './load-config.js'
import { addConfigOptions, addHelp, type ConfigFlags, environmentHelp } from './options.js'
import { apiKey, baseUrl, databaseUrl, loadEnvFile } from './settings.js'
import { paintFor, print, printJson } from './terminal.js'

interface Flags extends ConfigFlags {
  readonly baseUrl?: string
  readonly write?: true
  readonly json?: true
}

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
    .action(runDoctor)
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

async function runDoctor(flags: Flags): Promise<void> {
  loadEnvFile()
  const report = await examineSync({
    settings: {
      config: async () => (await loadConfig(flags.config)).resolved,
      databaseUrl: () => databaseUrl(flags),
      apiKey,
      baseUrl: () => baseUrl(flags),
      webhookSecrets,
      proxy,
    },
    nodeVersion: process.version,
    write: flags.write === true,
  })
  if (flags.json) printJson(report)
  else print(process.stdout, formatDoctor(report, paintFor(process.stdout)))
  if (!report.ok) endProcess(exitCodes.failure)
}
