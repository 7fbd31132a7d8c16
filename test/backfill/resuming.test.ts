import { rm } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import type { BackfillPhase } from '../../src/pipeline/backfill/report.js'
import { soon } from '../support/soon.js'
import { tcpProxy } from '../support/tcp-proxy.js'
import { type BackfillRigOptions, backfillRig, products, versionsOf } from './rig.js'

type Finish = BackfillRigOptions['onTestFinished']

const rigOf = (onTestFinished: Finish, options: Partial<BackfillRigOptions> = {}) =>
  backfillRig({ sql: products.sql(25), tables: products.tables, onTestFinished, ...options })

/** The pipeline goes on beside it, as the application does. */
const untilDelivered = async ({ db }: Awaited<ReturnType<typeof rigOf>>): Promise<void> =>
  soon(async () => expect((await db.query('SELECT FROM safetykit.dirty WHERE key IS NOT NULL')).rowCount).toBe(0))

const counted = async (rig: Awaited<ReturnType<typeof rigOf>>, where: string) =>
  (await rig.side('objects', where)).length

describe.concurrent('a backfill that is stopped', () => {
  for (const phase of ['waiting', 'scanning', 'importing', 'delivering'] satisfies BackfillPhase[]) {
    test(`while ${phase}, goes on where it was`, async ({ onTestFinished }) => {
      const rig = await rigOf(onTestFinished)
      const stop = new AbortController()
      const onProgress = (progress: { phase: BackfillPhase }) => {
        if (progress.phase === phase) stop.abort(new Error('enough'))
      }
      const result = await rig.backfill({ signal: stop.signal, onProgress }).catch((error: unknown) => error)
      // One that has nothing left to wait for may have come to its end.
      if (stop.signal.aborted && phase !== 'delivering') expect(result).toBeInstanceOf(Error)
      await rig.backfill()
      const pipeline = await rig.start()
      await rig.inStep()
      await rig.stop(pipeline)
      expect(versionsOf(rig.emulator, 'products')).toBe(25)
    })
  }

  test('while a file is uploaded, sends nothing twice that had arrived', async ({ onTestFinished }) => {
    const rig = await rigOf(onTestFinished)
    const stop = new AbortController()
    const lost = rig.emulator.faults.add({ when: { path: 'upload', times: 1 }, do: { hangAfterAccept: true } })
    const first = rig.backfill({ signal: stop.signal }).catch((error: unknown) => error)
    await soon(() => expect(lost.hits).toBe(1))
    stop.abort(new Error('enough'))
    expect(await first).toMatchObject({ message: 'enough' })
    const { tables } = await rig.backfill()
    expect(tables).toMatchObject([{ rows: 25, imported: 25, imports: 3 }])
    await rig.start()
    await rig.inStep()
    expect(versionsOf(rig.emulator, 'products')).toBe(25)
    expect(await rig.spooled()).toEqual([])
  })

  test('before the file of an import has arrived, walks its rows again', async ({ onTestFinished }) => {
    const rig = await rigOf(onTestFinished)
    const stop = new AbortController()
    const lost = rig.emulator.faults.add({ when: { path: 'upload', times: 1 }, do: { hang: true } })
    const first = rig.backfill({ signal: stop.signal }).catch((error: unknown) => error)
    await soon(() => expect(lost.hits).toBe(1))
    stop.abort(new Error('enough'))
    await first
    await rig.db.query("UPDATE products SET title = 'Table' WHERE id = 7; DELETE FROM products WHERE id = 8")
    await rig.backfill()
    await rig.start()
    await rig.inStep()
    expect(rig.emulator.stats.imports.succeeded).toBe(3)
    expect(await rig.spooled()).toEqual([])
  })
})

/** An import is at SafetyKit that the ledger does not know of, and a row of it is changed by now, which is delivered. */
async function uploadedAndOvertaken(onTestFinished: Finish) {
  const rig = await rigOf(onTestFinished)
  rig.emulator.imports.hold()
  const stop = new AbortController()
  const lost = rig.emulator.faults.add({ when: { path: 'upload', times: 1 }, do: { hangAfterAccept: true } })
  const pipeline = await rig.start()
  const first = pipeline.backfill({ signal: stop.signal }).catch((error: unknown) => error)
  await soon(() => expect(lost.hits).toBe(1))
  stop.abort(new Error('enough'))
  expect(await first).toMatchObject({ message: 'enough' })
  await rig.write("UPDATE products SET title = 'Table' WHERE id = 7")
  await untilDelivered(rig)
  return { rig, pipeline }
}

describe.concurrent('an import that was uploaded and not recorded', () => {
  test('is recorded by the next backfill, and what it overtakes comes again', async ({ onTestFinished }) => {
    const { rig, pipeline } = await uploadedAndOvertaken(onTestFinished)
    await pipeline.backfill({})
    rig.emulator.imports.release()
    await rig.inStep()
  })

  test('is not forgotten where the next backfill asks for other rows', async ({ onTestFinished }) => {
    const { rig, pipeline } = await uploadedAndOvertaken(onTestFinished)
    await pipeline.backfill({ where: 'id > 20' })
    await pipeline.backfill({})
    rig.emulator.imports.release()
    await rig.inStep()
  })

  test('is not forgotten where the next backfill has another mapping', async ({ onTestFinished }) => {
    const { rig, pipeline } = await uploadedAndOvertaken(onTestFinished)
    await rig.stop(pipeline)
    const tables = { 'public.products': { ...products.tables['public.products'], fields: { title: true } } }
    await rig.backfill({}, { tables })
    rig.emulator.imports.release()
    await rig.start({ tables })
    await rig.inStep({ products: `SELECT json_build_object('id', id::text, 'title', title) AS object FROM products` })
  })

  test('of which the files are gone too, is told and waited for, and everything is sent again', async ({
    onTestFinished,
  }) => {
    const { rig, pipeline } = await uploadedAndOvertaken(onTestFinished)
    await rm(rig.spool, { recursive: true })
    let ended = false
    const second = pipeline.backfill({}).finally(() => {
      ended = true
    })
    await soon(() =>
      expect(rig.log.filter(({ level, message }) => level === 'warn' && message.includes('gone'))).toHaveLength(1),
    )
    expect(ended).toBe(false)
    expect(rig.emulator.stats.calls.import).toBe(1)
    rig.emulator.imports.release()
    const { tables } = await second
    expect(tables).toMatchObject([{ imported: 25 }])
    await rig.inStep()
  })

  test('of which the files are gone too, does not bring back what was deleted meanwhile', async ({
    onTestFinished,
  }) => {
    const rig = await rigOf(onTestFinished)
    const pipeline = await rig.start()
    await pipeline.backfill({})
    await rig.inStep()
    rig.emulator.imports.hold()
    const stop = new AbortController()
    const lost = rig.emulator.faults.add({ when: { path: 'upload', times: 1 }, do: { hangAfterAccept: true } })
    const first = pipeline.backfill({ force: true, signal: stop.signal }).catch((error: unknown) => error)
    await soon(() => expect(lost.hits).toBe(1))
    stop.abort()
    await first
    await rm(rig.spool, { recursive: true })
    await rig.write('DELETE FROM products WHERE id = 7')
    await untilDelivered(rig)
    const second = pipeline.backfill({ force: true })
    await soon(() => expect(rig.log.filter(({ message }) => message.includes('gone'))).toHaveLength(1))
    rig.emulator.imports.release()
    await second
    await rig.inStep()
  })

  test('and whose import fails in the end, is sent again', async ({ onTestFinished }) => {
    const rig = await rigOf(onTestFinished)
    const stop = new AbortController()
    rig.emulator.faults.add({ when: { path: 'upload', times: 1 }, do: { reject: 400, message: 'no' } })
    const between = rig.held('upload', { latencyMs: 300, resetAfterAccept: true })
    const first = rig.backfill({ signal: stop.signal }).catch((error: unknown) => error)
    await between.reached()
    stop.abort(new Error('enough'))
    await first
    between.goOn()
    await rig.backfill()
    await rig.start()
    await rig.inStep()
  })
})

describe.concurrent('an import of which a part is recorded', () => {
  /** More than goes into one transaction of the ledger, of which the second one fails. */
  async function partlyRecorded(onTestFinished: Finish, options: { readonly fails: boolean }) {
    const rig = await rigOf(onTestFinished, {
      sql: products.sql(26_000),
      settings: { import: { maxPartObjects: 30_000 } },
    })
    rig.emulator.imports.hold()
    if (options.fails)
      rig.emulator.faults.add({ when: { path: 'upload', times: 1 }, do: { reject: 400, message: 'no' } })
    await rig.db.query(`CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$;
      CREATE TRIGGER refuse BEFORE INSERT ON safetykit.requests FOR EACH ROW WHEN (NEW.kind = 'import') EXECUTE FUNCTION refuse()`)
    await rig.backfill().catch(() => {})
    const known = await counted(rig, 'true')
    expect(known).toBeGreaterThan(0)
    expect(known).toBeLessThan(26_000)
    await rig.db.query('DROP TRIGGER refuse ON safetykit.requests')
    return rig
  }

  test('is recorded to its end by the next backfill', async ({ onTestFinished }) => {
    const rig = await partlyRecorded(onTestFinished, { fails: false })
    const { tables } = await rig.backfill()
    expect(tables).toMatchObject([{ imported: 26_000, imports: 1 }])
    rig.emulator.imports.release()
    await rig.start()
    await rig.inStep()
    expect(versionsOf(rig.emulator, 'products')).toBe(26_000)
  })

  test('and that fails, is sent again whole', async ({ onTestFinished }) => {
    const rig = await partlyRecorded(onTestFinished, { fails: true })
    rig.emulator.imports.release()
    await rig.backfill()
    await rig.start()
    await rig.quiet()
    expect(rig.emulator.objects('products').size).toBe(26_000)
    await rig.inStep()
  })

  test('is not forgotten where the next backfill asks for other rows', async ({ onTestFinished }) => {
    const rig = await partlyRecorded(onTestFinished, { fails: true })
    rig.emulator.imports.release()
    await rig.backfill({ where: 'id > 0' })
    await rig.start()
    await rig.quiet()
    expect(rig.emulator.objects('products').size).toBe(26_000)
    await rig.inStep()
  })
})

describe.concurrent('a backfill that begins anew', () => {
  test('buries what was deleted while an earlier one was at it', async ({ onTestFinished }) => {
    const rig = await rigOf(onTestFinished)
    const pipeline = await rig.start()
    const stop = new AbortController()
    const held = rig.held('import')
    const first = pipeline.backfill({ signal: stop.signal }).catch((error: unknown) => error)
    await held.reached()
    await rig.write('DELETE FROM products WHERE id = 7')
    await untilDelivered(rig)
    // Of the first import all is recorded, of the second nothing.
    rig.emulator.faults.add({ when: { path: 'upload', ids: ['11'] }, do: { status: 503 } })
    held.goOn()
    await soon(async () => expect(await counted(rig, 'true')).toBe(10))
    stop.abort(new Error('enough'))
    await first
    rig.emulator.faults.clear()
    await pipeline.backfill({ where: 'id <= 5' })
    await rig.inStep({ products: `${products.expected.products} WHERE id <= 10` })
  })
})

describe.concurrent('the ledger', () => {
  test('whose connections end while it records, holds up nothing for good', async ({ onTestFinished }) => {
    const rig = await rigOf(onTestFinished, { sql: products.sql(60) })
    const locker = await rig.db.client()
    await locker.query('BEGIN; LOCK TABLE safetykit.submissions IN SHARE MODE')
    // Where the test fails, nothing is to wait for it.
    onTestFinished(() => locker.end())
    const backfill = rig.backfill()
    await soon(async () => {
      const { rowCount } = await rig.db.query(
        `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE datname = current_database() AND wait_event_type = 'Lock' AND application_name = 'safetykit-sync ledger'`,
      )
      expect(rowCount).toBe(1)
    })
    await locker.query('ROLLBACK')
    expect((await backfill).tables).toMatchObject([{ rows: 60, imported: 60, imports: 6 }])
    await rig.start()
    await rig.inStep()
    expect(versionsOf(rig.emulator, 'products')).toBe(60)
  })

  test('that is away again and again for all of a backfill has everything in the end', async ({ onTestFinished }) => {
    const rig = await rigOf(onTestFinished, { sql: products.sql(200) })
    const proxy = await tcpProxy(rig.db.url)
    onTestFinished(() => proxy.close())
    const backfill = rig.backfill({}, { databaseUrl: proxy.url(rig.db.url) })
    let ended = false
    void backfill.finally(() => {
      ended = true
    })
    for (let cut = 0; cut < 6 && !ended; cut += 1) {
      const imports = rig.emulator.stats.calls.import
      await soon(() => expect(ended || rig.emulator.stats.calls.import > imports + 1).toBe(true))
      proxy.cut()
    }
    await backfill
    await rig.start()
    await rig.inStep()
    expect(versionsOf(rig.emulator, 'products')).toBe(200)
  })
})

test('files that a dead process has left are removed, and others in the folder are not', async ({ onTestFinished }) => {
  const rig = await rigOf(onTestFinished)
  const stop = new AbortController()
  const held = rig.held('upload')
  const first = rig.backfill({ signal: stop.signal }).catch((error: unknown) => error)
  await held.reached()
  expect((await rig.spooled()).length).toBeGreaterThan(0)
  stop.abort()
  await first
  held.goOn()
  await rig.backfill()
  expect(await rig.spooled()).toEqual([])
})
