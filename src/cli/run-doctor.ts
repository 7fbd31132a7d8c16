import { proxy, webhookSecrets } from '../environment.js'
import { examineSync } from '../operate/doctor/doctor.js'
import { formatDoctor } from './doctor-text.js'
import { endProcess } from './end-process.js'
import { exitCodes } from './exit-codes.js'
import { loadConfig } from './load-config.js'
import type { ConfigFlags } from './options.js'
import { apiKey, baseUrl, databaseUrl, loadEnvFile } from './settings.js'
import { paintFor, print, printJson } from './terminal.js'

interface Flags extends ConfigFlags {
  readonly baseUrl?: string
  readonly write?: true
  readonly json?: true
}

export async function runDoctor(flags: Flags): Promise<void> {
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
