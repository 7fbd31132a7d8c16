import { configurationChecks, describeConfiguration, nodeCheck } from './configuration.js'
import { Examination, from } from './examination.js'
import { examineApi } from './examine-api.js'
import { examineDatabase } from './examine-database.js'
import type { DoctorReport } from './finding.js'
import type { DoctorSettings } from './settings.js'

export type { DoctorReport, Finding, Status, Step } from './finding.js'
export type { DoctorSettings } from './settings.js'

export interface DoctorOptions {
  readonly settings: DoctorSettings
  /** `process.version`. */
  readonly nodeVersion: string
  /** Whether the settings of the namespaces may be pushed, to see whether the key may write. Default: `false`. */
  readonly write?: boolean
  /** How long a single check may take. Default: 8,000. */
  readonly timeoutMs?: number
  /** A transaction that has run for longer is told. Default: 300,000. */
  readonly longTransactionMs?: number
  /** This machine's clock, in milliseconds. Default: `Date.now`. */
  readonly now?: () => number
}

const loadingMs = 60_000

/**
 * Looks at everything that a sync rests on, in the order in which one thing rests on another. Changes nothing, but with
 * `write`, and takes no lock but a reader's. Never throws for what it finds.
 */
export async function examineSync(options: DoctorOptions): Promise<DoctorReport> {
  const { settings, timeoutMs = 8_000, longTransactionMs = 300_000, now = Date.now } = options
  const examination = new Examination({ timeoutMs })
  const group = 'configuration'
  await examination.examine(group, [nodeCheck], options.nodeVersion)
  const check = { check: 'configuration', why: 'Without it nothing is known of what is to be sent.' }
  // It imports the application's own modules, which may take a while.
  const loading = new Examination({ timeoutMs: Math.max(loadingMs, timeoutMs), findings: examination.findings })
  const resolved = await loading.learn(group, check, {}, async () => {
    const value = await settings.config()
    return { verdicts: describeConfiguration(value), value }
  })
  const configured = from(resolved, (sync) => ({ resolved: sync, webhookSecrets: () => settings.webhookSecrets() }))
  await examination.examine(group, configurationChecks, configured)
  const given = { examination, settings, resolved, timeoutMs, longTransactionMs, now }
  await examineDatabase(given)
  await examineApi({ ...given, write: options.write ?? false })
  return examination.report(new Date(now()))
}
