import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, onTestFinished, test } from 'vitest'
import { defineSync, type ExtensionOptions } from '../../src/index.js'
import { silentLogger } from '../../src/logger.js'
import { startPipeline } from '../../src/pipeline.js'
import { soon } from '../support/soon.js'
import { type ExtensionRig, extensionRig } from './rig.js'

async function shop(): Promise<ExtensionRig> {
  const rig = await extensionRig()
  await rig.migrate(syncOf(rig))
  return rig
}

interface Settings {
  readonly capture?: 'trigger' | 'replication'
  readonly deliver?: 'sidecar'
  readonly slot?: { readonly name: string }
}

const syncOf = (rig: ExtensionRig, settings: Settings = {}) =>
  defineSync(rig.prisma, {
    ...settings,
    models: { Seller: { namespace: 'sellers', fields: { name: true }, where: (row) => row.name !== 'hidden' } },
  })

function extended(rig: ExtensionRig, sync = syncOf(rig), options: ExtensionOptions = rig.options) {
  const db = rig.prisma.$extends(sync.extension(options))
  onTestFinished(() => db.$disconnect())
  return db
}

const latency = (rig: ExtensionRig) => rig.emulator.faults.add({ when: { path: 'add' }, do: { latencyMs: 300 } })

describe('flush', () => {
  test('says of everything that waited what became of it', async () => {
    const rig = await shop()
    const db = extended(rig)
    latency(rig)
    rig.emulator.faults.add({ when: { ids: ['2'] }, do: { reject: 422, message: 'too rude' } })
    await rig.prisma.seller.createMany({
      data: ['fine', 'refused', 'hidden', 'fine too'].map((name) => ({ name, email: name })),
    })
    const flushed = await db.$safetykit.flush()
    expect(flushed).toMatchObject({ settled: true, waiting: 0, accepted: 2, parked: 1, dead: 0, absent: 1 })
    expect(flushed.refused).toMatchObject([
      { namespace: 'sellers', objectId: '2', state: 'parked', error: { code: 'API_REJECTED', status: 422 } },
    ])
  })

  test('does not wait for what is written after the call', async () => {
    const rig = await shop()
    const db = extended(rig, syncOf(rig), { ...rig.options, stopTimeoutMs: 100 })
    const slow = rig.emulator.faults.add({ when: { path: 'add', ids: ['1'] }, do: { latencyMs: 1_000 } })
    rig.emulator.faults.add({ when: { path: 'add', ids: ['2'] }, do: { hang: true } })
    await db.seller.create({ data: { name: 'before', email: 'a' } })
    await soon(() => expect(slow.hits).toBe(1))
    const flushing = db.$safetykit.flush()
    await sleep(300)
    await db.seller.create({ data: { name: 'after', email: 'b' } })
    expect(await flushing).toMatchObject({ settled: true, accepted: 1 })
    expect(await db.$safetykit.flush({ timeoutMs: 100 })).toMatchObject({ settled: false, waiting: 1 })
  })

  test('is at once where nothing waits, and needs no worker for it', async () => {
    const rig = await shop()
    const db = extended(rig, syncOf(rig, { deliver: 'sidecar' }), { databaseUrl: rig.db.url, logger: false })
    expect(await db.$safetykit.flush()).toEqual({
      settled: true,
      accepted: 0,
      parked: 0,
      dead: 0,
      absent: 0,
      waiting: 0,
      refused: [],
    })
  })

  test('tells that time is up, and does not fail', async () => {
    const rig = await shop()
    const db = extended(rig, syncOf(rig, { deliver: 'sidecar' }))
    await db.seller.createMany({ data: ['a', 'b'].map((email) => ({ name: 'n', email })) })
    expect(await db.$safetykit.flush({ timeoutMs: 200 })).toEqual({
      settled: false,
      accepted: 0,
      parked: 0,
      dead: 0,
      absent: 2,
      waiting: 2,
      refused: [],
    })
  })

  test('waits for the sidecar where that delivers', async () => {
    const rig = await shop()
    const sync = syncOf(rig, { deliver: 'sidecar' })
    const db = extended(rig, sync)
    await db.seller.create({ data: { name: 'n', email: 'a' } })
    const flushing = db.$safetykit.flush()
    const { apiKey = '', baseUrl, databaseUrl = '' } = rig.options
    const sidecar = await startPipeline({ resolved: sync.resolved, databaseUrl, apiKey, baseUrl })
    expect(await flushing).toMatchObject({ settled: true, accepted: 1 })
    await sidecar.stop()
  })

  test('starts the worker where no other operation did, for what others have left', async () => {
    const rig = await shop()
    await rig.prisma.seller.create({ data: { name: 'n', email: 'a' } })
    expect(await extended(rig).$safetykit.flush()).toMatchObject({ settled: true, accepted: 1 })
    expect(rig.emulator.objects('sellers').size).toBe(1)
  })

  test('fails where the worker cannot start and something waits for it', async () => {
    const rig = await shop()
    const db = extended(rig, syncOf(rig), { ...rig.options, baseUrl: 'not a URL' })
    await db.seller.create({ data: { name: 'n', email: 'a' } })
    await expect(db.$safetykit.flush()).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
      message: 'baseUrl of sync.extension() is not an HTTP URL',
    })
  })

  test('waits for the scan of a table that is marked as a whole, and for what it finds', async () => {
    const rig = await shop()
    const db = extended(rig, syncOf(rig, { deliver: 'sidecar' }))
    const { query } = rig.db
    await query(`INSERT INTO safetykit.dirty (source) VALUES ('public.Seller')`)
    let done = false
    const flushing = db.$safetykit.flush().finally(() => {
      done = true
    })
    const stillWaits = async () => {
      await sleep(300)
      expect(done).toBe(false)
    }
    await stillWaits()
    await query(
      `WITH marks AS (DELETE FROM safetykit.dirty) INSERT INTO safetykit.scans VALUES ('public.Seller', null, 'marked', now(), now())`,
    )
    await stillWaits()
    await query(`WITH found AS (INSERT INTO safetykit.dirty (source, key) VALUES ('public.Seller', '{"id":"7"}'))
      UPDATE safetykit.scans SET finished_at = now()`)
    await stillWaits()
    await query('DELETE FROM safetykit.dirty')
    expect(await flushing).toMatchObject({ settled: true, absent: 1, waiting: 0 })
  })

  test('waits for the slot with capture by replication', async () => {
    const rig = await extensionRig({ sideTables: false })
    const sync = syncOf(rig, { capture: 'replication', slot: { name: rig.db.name } })
    const { apiKey = '', baseUrl, databaseUrl = '' } = rig.options
    await rig.migrate(sync)
    const db = extended(rig, sync, { databaseUrl, logger: false })
    const { id } = await db.seller.create({ data: { name: 'n', email: 'a' } })
    expect(await db.$safetykit.flush({ timeoutMs: 200 })).toMatchObject({ settled: false })
    const sidecar = await startPipeline({ resolved: sync.resolved, databaseUrl, apiKey, baseUrl, logger: silentLogger })
    expect(await db.$safetykit.flush()).toMatchObject({ settled: true })
    expect(await db.$safetykit.status('Seller', id)).toMatchObject({ state: 'accepted' })
    expect(await db.$safetykit.resend('Seller', {})).toBe(1)
    expect(await db.$safetykit.flush()).toMatchObject({ settled: true })
    expect(rig.emulator.history('sellers', String(id))).toHaveLength(2)
    await sidecar.stop()
  })
})
