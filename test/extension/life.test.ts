import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { defineSync, type ExtensionOptions } from '../../src/index.js'
import { soon } from '../support/soon.js'
import { type ExtensionRig, extensionRig } from './rig.js'

const models = { Seller: { namespace: 'sellers', fields: { name: true } } } as const

const syncOf = (rig: ExtensionRig, strict = false) => defineSync(rig.prisma, { strict, models })

function extended(rig: ExtensionRig, options: ExtensionOptions = rig.options, strict = false) {
  const db = rig.prisma.$extends(syncOf(rig, strict).extension(options))
  onTestFinished(() => db.$disconnect())
  return db
}

const problems = (rig: ExtensionRig) => rig.log.filter(({ level }) => level === 'error' || level === 'warn')
const withoutKey = (rig: ExtensionRig): ExtensionOptions => ({ ...rig.options, apiKey: ' ' })

describe('a start that fails', () => {
  test('for want of a setting is told once, with what to do, and no operation fails of it', async () => {
    const rig = await extensionRig()
    await rig.migrate(syncOf(rig))
    vi.stubEnv('SAFETYKIT_API_KEY', '')
    onTestFinished(() => void vi.unstubAllEnvs())
    const db = extended(rig, withoutKey(rig))
    for (const email of ['a', 'b', 'c']) await db.seller.create({ data: { name: 'n', email } })
    await soon(() => expect(problems(rig)).toHaveLength(1))
    await db.seller.count()
    expect(problems(rig)[0]?.fields.error).toMatchObject({
      code: 'SETTING_MISSING',
      hint: expect.stringContaining('SAFETYKIT_API_KEY'),
    })
    expect((await rig.db.query('SELECT FROM safetykit.dirty')).rowCount).toBe(3)
  })

  test('for want of the side tables is told once, and mends itself after `migrate`', async () => {
    const rig = await extensionRig({ sideTables: false })
    const db = extended(rig)
    const failures: unknown[] = []
    db.$safetykit.on('error', ({ error }) => failures.push(error))
    await db.seller.create({ data: { name: 'n', email: 'a' } })
    await soon(() => expect(failures.length).toBeGreaterThan(1))
    expect(problems(rig)).toHaveLength(1)
    expect(problems(rig)[0]?.fields.error).toMatchObject({
      code: 'SCHEMA_OUTDATED',
      hint: 'Run: safetykit-sync migrate',
    })
    await rig.migrate(syncOf(rig))
    await db.seller.create({ data: { name: 'n', email: 'b' } })
    await soon(() => expect(rig.emulator.objects('sellers').size).toBe(1))
  })

  test('for want of its database leaves the application alone', async () => {
    const rig = await extensionRig()
    const db = extended(rig, { ...rig.options, databaseUrl: 'postgresql://nobody:secret@127.0.0.1:1/nothing' })
    await db.seller.create({ data: { name: 'n', email: 'a' } })
    await soon(() => expect(problems(rig)[0]?.fields.error).toMatchObject({ code: 'DATABASE_UNREACHABLE' }))
    await db.seller.create({ data: { name: 'n', email: 'b' } })
    expect(await db.seller.count()).toBe(2)
    await expect(db.$safetykit.status('Seller', 1)).rejects.toMatchObject({ code: 'DATABASE_UNREACHABLE' })
    await expect(db.$safetykit.flush()).rejects.toMatchObject({ code: 'DATABASE_UNREACHABLE' })
  })

  test('of a refused key is told, and as an event', async () => {
    const rig = await extensionRig()
    await rig.migrate(syncOf(rig))
    const db = extended(rig, { ...rig.options, apiKey: 'sk_wrong_wrong_wrong' })
    const failures: unknown[] = []
    db.$safetykit.on('error', ({ error }) => failures.push(error))
    await db.seller.count()
    await soon(() => expect(failures).toMatchObject([{ code: 'API_UNAUTHORIZED' }]))
    expect(problems(rig).some(({ fields }) => (fields.error as { code?: string })?.code === 'API_UNAUTHORIZED')).toBe(
      true,
    )
  })
})

describe('strict', () => {
  test('refuses every operation while something is missing, reads too', async () => {
    const rig = await extensionRig({ sideTables: false })
    const db = extended(rig, rig.options, true)
    const refused = { code: 'SCHEMA_OUTDATED', hint: 'Run: safetykit-sync migrate' }
    await expect(db.seller.count()).rejects.toMatchObject(refused)
    await expect(db.seller.create({ data: { name: 'n', email: 'a' } })).rejects.toMatchObject(refused)
    await expect(db.$queryRaw`SELECT 1`).rejects.toMatchObject(refused)
    await expect(db.$transaction((tx) => tx.seller.count())).rejects.toMatchObject(refused)
    expect(await rig.prisma.seller.count()).toBe(0)
    await rig.migrate(syncOf(rig))
    await soon(async () => expect(await db.seller.count()).toBe(0))
  })

  test('refuses for want of a setting', async () => {
    const rig = await extensionRig()
    vi.stubEnv('SAFETYKIT_API_KEY', '')
    onTestFinished(() => void vi.unstubAllEnvs())
    await expect(extended(rig, withoutKey(rig), true).seller.count()).rejects.toMatchObject({ code: 'SETTING_MISSING' })
  })

  test('lets everything through where all is there', async () => {
    const rig = await extensionRig()
    await rig.migrate(syncOf(rig))
    const db = extended(rig, rig.options, true)
    const counts = await Promise.all([db.seller.count(), db.seller.count(), db.$transaction((tx) => tx.seller.count())])
    expect(counts).toEqual([0, 0, 0])
  })
})

describe('settings', () => {
  test('are read from the environment, at the first operation', async () => {
    const rig = await extensionRig()
    await rig.migrate(syncOf(rig))
    onTestFinished(() => void vi.unstubAllEnvs())
    vi.stubEnv('DATABASE_URL', '')
    const db = extended(rig, { logger: false })
    const { databaseUrl = '', apiKey = '', baseUrl = '' } = rig.options
    vi.stubEnv('DATABASE_URL', databaseUrl)
    vi.stubEnv('SAFETYKIT_API_KEY', apiKey)
    vi.stubEnv('SAFETYKIT_BASE_URL', baseUrl)
    const { id } = await db.seller.create({ data: { name: 'n', email: 'a' } })
    expect(await db.$safetykit.flush()).toMatchObject({ settled: true })
    expect(await db.$safetykit.status('Seller', id)).toMatchObject({ state: 'accepted' })
  })

  test('without a logger, warnings and errors go to the console, without secrets', async () => {
    const rig = await extensionRig({ sideTables: false })
    const printed = vi.spyOn(console, 'error').mockImplementation(() => {})
    onTestFinished(() => printed.mockRestore())
    const { logger: _, ...options } = rig.options
    await extended(rig, options).seller.count()
    await soon(() => expect(printed).toHaveBeenCalledOnce())
    const [line] = printed.mock.calls[0] ?? []
    expect(line).toMatch(/^prisma-extension-safetykit: .*\nSCHEMA_OUTDATED: .*\n→ Run: safetykit-sync migrate$/)
    expect(line).not.toContain(rig.emulator.apiKey)
  })

  test('logger: false is silent', async () => {
    const rig = await extensionRig({ sideTables: false })
    const printed = vi.spyOn(console, 'error').mockImplementation(() => {})
    onTestFinished(() => printed.mockRestore())
    const db = extended(rig, { ...rig.options, logger: false })
    const failures: unknown[] = []
    db.$safetykit.on('error', ({ error }) => failures.push(error))
    await db.seller.count()
    await soon(() => expect(failures).not.toHaveLength(0))
    expect(printed).not.toHaveBeenCalled()
  })
})

describe('$disconnect', () => {
  test('settles what is in flight, and a later operation starts anew', async () => {
    const rig = await extensionRig()
    await rig.migrate(syncOf(rig))
    rig.emulator.faults.add({ when: { path: 'add' }, do: { latencyMs: 300 } })
    const db = extended(rig)
    const hit = rig.emulator.faults.add({ when: { path: 'add' }, do: { latencyMs: 1 } })
    await db.seller.create({ data: { name: 'n', email: 'a' } })
    await soon(() => expect(hit.hits).toBe(1))
    await db.$disconnect()
    expect((await rig.db.query('SELECT FROM safetykit.dirty')).rowCount).toBe(0)
    expect((await rig.db.query(`SELECT FROM safetykit.objects WHERE state = 'accepted'`)).rowCount).toBe(1)
    const connected = `SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'safetykit%'`
    await soon(async () => expect((await rig.db.query(connected)).rowCount).toBe(0))

    await db.seller.create({ data: { name: 'n', email: 'b' } })
    expect(await db.$safetykit.flush()).toMatchObject({ settled: true })
    expect(rig.emulator.objects('sellers').size).toBe(2)
  })

  test('gives up on what is in flight when its time is up; the next start brings it again', async () => {
    const rig = await extensionRig()
    await rig.migrate(syncOf(rig))
    const hang = rig.emulator.faults.add({ when: { path: 'add' }, do: { hang: true } })
    const db = extended(rig, { ...rig.options, stopTimeoutMs: 200 })
    await db.seller.create({ data: { name: 'n', email: 'a' } })
    await soon(() => expect(hang.hits).toBe(1))
    await db.$disconnect()
    expect((await rig.db.query('SELECT FROM safetykit.dirty')).rowCount).toBe(1)
    rig.emulator.faults.clear()
    expect(await db.$safetykit.flush()).toMatchObject({ settled: true, accepted: 1 })
  })

  test('works where nothing was ever started', async () => {
    const rig = await extensionRig()
    const db = extended(rig)
    await db.$disconnect()
    await db.$disconnect()
    expect(rig.log).toEqual([])
  })
})
