import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { migrateLedger } from '../../src/ledger/migrate.js'
import { soon } from '../support/soon.js'
import { type ExtensionRig, extensionRig } from './rig.js'
import { type Application, extended, migrated, modes, writeAll } from './unharmed-rig.js'

interface Wrong {
  readonly what: string
  readonly code: string
  readonly hint: string
  readonly captures: readonly (typeof modes)[number][]
  rig(capture: (typeof modes)[number]): Promise<ExtensionRig>
  readonly overrides?: Partial<ExtensionRig['options']>
}

const wrongs: readonly Wrong[] = [
  {
    what: 'no API key',
    code: 'SETTING_MISSING',
    hint: 'SAFETYKIT_API_KEY',
    captures: modes,
    rig: (capture) => migrated({ capture }),
    overrides: { apiKey: '' },
  },
  {
    what: 'no database URL',
    code: 'SETTING_MISSING',
    hint: 'DATABASE_URL',
    captures: modes,
    rig: (capture) => migrated({ capture }),
    overrides: { databaseUrl: '' },
  },
  {
    what: 'a database URL where nobody listens',
    code: 'DATABASE_UNREACHABLE',
    hint: 'DATABASE_URL',
    captures: modes,
    rig: (capture) => migrated({ capture }),
    overrides: { databaseUrl: 'postgresql://nobody:secret@127.0.0.1:1/nothing' },
  },
  {
    what: 'no side tables',
    code: 'SCHEMA_OUTDATED',
    hint: 'safetykit-sync migrate',
    captures: modes,
    rig: () => extensionRig({ sideTables: false }),
  },
  {
    what: 'no triggers',
    code: 'TRIGGERS_UNFIT',
    hint: 'safetykit-sync migrate',
    captures: ['trigger'],
    async rig() {
      const rig = await extensionRig({ sideTables: false })
      await migrateLedger(await rig.db.client(), 'safetykit')
      return rig
    },
  },
]

function withoutEnvironment(): void {
  for (const name of ['DATABASE_URL', 'SAFETYKIT_API_KEY', 'SAFETYKIT_BASE_URL']) vi.stubEnv(name, '')
  onTestFinished(() => void vi.unstubAllEnvs())
}

const told = (rig: ExtensionRig) => rig.log.filter(({ level }) => level === 'error' || level === 'warn')

const cases = wrongs.flatMap((wrong) => wrong.captures.map((capture) => ({ ...wrong, capture })))

describe.each(cases)('$what, capture: $capture', ({ capture, rig: make, overrides, code, hint }) => {
  test('the application reads and writes, and it is told once what to do', async () => {
    withoutEnvironment()
    const rig = await make(capture)
    const app = extended(rig, { capture }, overrides)
    await writeAll(app)
    await writeAll(app)
    expect(await app.seller.count()).toBeGreaterThan(0)
    await soon(() => expect(told(rig).map(({ fields }) => fields.error)).toMatchObject([{ code }]))
    expect(told(rig)[0]?.fields.error).toMatchObject({ hint: expect.stringContaining(hint) })
    await writeAll(app)
    expect(told(rig)).toHaveLength(1)
  })

  test('strict: every operation is refused with it', async () => {
    withoutEnvironment()
    const rig = await make(capture)
    const app = extended(rig, { capture, strict: true }, overrides)
    const refused = { name: 'SyncError', code, hint: expect.stringContaining(hint) }
    const operations: ((app: Application) => Promise<unknown>)[] = [
      (db) => db.seller.count(),
      (db) => db.seller.create({ data: { name: 'n', email: 'e' } }),
      (db) => db.$queryRaw`SELECT 1`,
      (db) => db.$transaction((tx) => tx.seller.create({ data: { name: 'n', email: 'e' } })),
      (db) => db.$transaction([db.seller.create({ data: { name: 'n', email: 'e' } })]),
    ]
    for (const operation of operations) await expect(operation(app)).rejects.toMatchObject(refused)
    expect(await rig.prisma.seller.count()).toBe(0)
  })
})
