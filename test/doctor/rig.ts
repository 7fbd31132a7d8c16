import pg from 'pg'
import { onTestFinished } from 'vitest'
import type { SyncOptions } from '../../src/config/input.js'
import type { ResolvedSync } from '../../src/config/resolved.js'
import { type DoctorOptions, type DoctorReport, examineSync, type Finding } from '../../src/operate/doctor/doctor.js'
import { migrate } from '../../src/pipeline.js'
import { defineSync } from '../../src/sync.js'
import { emulatorForTest } from '../support/emulator.js'
import { createDatabase } from '../support/postgres.js'

export interface DoctorRig {
  readonly url: string
  readonly resolved: ResolvedSync
  readonly emulatorUrl: string
  /** As a superuser. */
  query(sql: string): Promise<pg.QueryResult>
  doctor(overrides?: Overrides): Promise<DoctorReport>
  /** The findings of a check that are not ok. */
  troubles(check: string, overrides?: Overrides): Promise<readonly Finding[]>
  migrate(databaseUrl?: string): Promise<void>
  /** Does what the findings say: runs the SQL as it stands, and `migrate`. */
  mend(findings: readonly Finding[]): Promise<void>
  /** The URL as a role of its own, which ends with the test. */
  roleUrl(attributes?: string): Promise<{ readonly role: string; readonly url: string }>
}

type Overrides = Partial<Omit<DoctorOptions, 'settings'>> & {
  readonly databaseUrl?: string
  readonly resolved?: ResolvedSync
  readonly settings?: Partial<DoctorOptions['settings']>
}

export interface DoctorRigOptions {
  readonly sql?: string
  readonly tables?: object
  readonly settings?: Partial<SyncOptions> & { readonly capture?: ResolvedSync['capture'] }
  /** A server of one's own; else a database of the shared one. */
  readonly url?: string
  readonly migrate?: boolean
}

export const productsSql = 'CREATE TABLE products (id int PRIMARY KEY, title text NOT NULL, secret text)'
export const productsMapping = { 'public.products': { namespace: 'products', fields: { title: true } } }

export async function doctorForTest(options: DoctorRigOptions = {}): Promise<DoctorRig> {
  const { sql = productsSql, tables = productsMapping, settings = {} } = options
  const emulator = await emulatorForTest()
  const shared = options.url === undefined ? await createDatabase() : null
  if (shared !== null) onTestFinished(() => shared.drop())
  const url = options.url ?? shared?.url ?? ''
  const name = shared?.name ?? 'safetykit'
  const { resolved } = defineSync({ capture: 'replication', slot: { name }, ...settings, tables } as never)
  const admin = new pg.Pool({ connectionString: url, max: 1 })
  // Servers are restarted under it.
  admin.on('error', () => {})
  onTestFinished(() => admin.end())
  await admin.query(sql)

  const rig: DoctorRig = {
    url,
    resolved,
    emulatorUrl: emulator.url,
    query: (text) => admin.query(text),
    doctor: ({ databaseUrl = url, resolved: other = resolved, settings: given = {}, ...overrides } = {}) =>
      examineSync({
        nodeVersion: process.version,
        ...overrides,
        settings: {
          config: async () => other,
          databaseUrl: () => databaseUrl,
          apiKey: () => emulator.apiKey,
          baseUrl: () => emulator.url,
          webhookSecrets: () => ['whsec_c2VjcmV0'],
          proxy: () => undefined,
          ...given,
        },
      }),
    async troubles(check, overrides) {
      const { findings } = await rig.doctor(overrides)
      return findings.filter((one) => one.check === check && one.status !== 'ok')
    },
    async migrate(databaseUrl = url) {
      await migrate({ resolved, databaseUrl })
    },
    async mend(findings) {
      for (const step of findings.flatMap(({ fix }) => fix)) {
        if ('sql' in step) await admin.query(step.sql)
        else if ('run' in step && step.run === 'safetykit-sync migrate') await rig.migrate()
      }
    },
    async roleUrl(attributes = '') {
      const role = `doctor_${Math.random().toString(36).slice(2)}`
      await admin.query(`CREATE ROLE ${role} LOGIN PASSWORD 'hidden-password' ${attributes}`)
      onTestFinished(async () => {
        const client = new pg.Client({ connectionString: url })
        await client.connect()
        await client.query(`DROP OWNED BY ${role}; DROP ROLE ${role}`).finally(() => client.end())
      })
      const own = new URL(url)
      own.username = role
      own.password = 'hidden-password'
      return { role, url: own.href }
    },
  }
  if (options.migrate !== false) await rig.migrate()
  return rig
}
