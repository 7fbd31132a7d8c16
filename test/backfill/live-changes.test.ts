import { describe, expect, test } from 'vitest'
import { soon } from '../support/soon.js'
import {
  type BackfillRig,
  type BackfillRigOptions,
  backfillRig,
  products,
  type RigSettings,
  versionsOf,
} from './rig.js'

type Finish = BackfillRigOptions['onTestFinished']

const started = async (onTestFinished: Finish, options: Partial<BackfillRigOptions> = {}) => {
  const rig = await backfillRig({ sql: products.sql(25), tables: products.tables, onTestFinished, ...options })
  return { rig, pipeline: await rig.start() }
}

/** What a user's application does meanwhile, and what has come of it once it is delivered. */
interface Change {
  readonly what: string
  readonly sql: string
}

const changes: readonly Change[] = [
  { what: 'updated', sql: "UPDATE products SET title = 'Table' WHERE id = 7" },
  {
    what: 'updated and back to what it was',
    sql: "UPDATE products SET title = 'Table' WHERE id = 7; UPDATE products SET title = 'Chair 7' WHERE id = 7",
  },
  { what: 'deleted', sql: 'DELETE FROM products WHERE id = 7' },
  {
    what: 'deleted and inserted anew',
    sql: "DELETE FROM products WHERE id = 7; INSERT INTO products VALUES (7, 'Stool')",
  },
  { what: 'given another key', sql: 'UPDATE products SET id = 700 WHERE id = 7' },
  { what: 'inserted', sql: "INSERT INTO products VALUES (70, 'Stool')" },
]

const untilDelivered = async ({ db }: BackfillRig): Promise<void> =>
  soon(async () => expect((await db.query('SELECT FROM safetykit.dirty WHERE key IS NOT NULL')).rowCount).toBe(0))

describe.concurrent.each(changes)('a row that is $what', ({ sql }) => {
  test('after it was read and before its upload is at SafetyKit as it is', async ({ onTestFinished }) => {
    const { rig, pipeline } = await started(onTestFinished)
    const held = rig.held('import')
    const backfill = pipeline.backfill({})
    await held.reached()
    await rig.write(sql)
    await untilDelivered(rig)
    held.goOn()
    await backfill
    await rig.inStep()
  })

  test('after its upload and before that is recorded is at SafetyKit as it is', async ({ onTestFinished }) => {
    const { rig, pipeline } = await started(onTestFinished)
    rig.emulator.imports.hold()
    const held = rig.held('upload', { resetAfterAccept: true })
    const backfill = pipeline.backfill({})
    await held.reached()
    await rig.write(sql)
    await untilDelivered(rig)
    held.goOn()
    await backfill
    rig.emulator.imports.release()
    await rig.inStep()
  })

  test('after it was recorded and before it lands is at SafetyKit as it is', async ({ onTestFinished }) => {
    const { rig, pipeline } = await started(onTestFinished)
    rig.emulator.imports.hold()
    await pipeline.backfill({})
    await rig.write(sql)
    await untilDelivered(rig)
    rig.emulator.imports.release()
    await rig.inStep()
  })

  test('after it landed is at SafetyKit as it is', async ({ onTestFinished }) => {
    const { rig, pipeline } = await started(onTestFinished)
    await pipeline.backfill({})
    await soon(() => expect(rig.emulator.objects('products').size).toBe(25))
    await rig.write(sql)
    await rig.inStep()
  })
})

describe.concurrent('a live change and an import', () => {
  test('a row that goes there and back in two deliveries while its import is held is as it is', async ({
    onTestFinished,
  }) => {
    const { rig, pipeline } = await started(onTestFinished)
    rig.emulator.imports.hold()
    await pipeline.backfill({})
    await rig.write("UPDATE products SET title = 'B' WHERE id = 7")
    await untilDelivered(rig)
    await rig.write("UPDATE products SET title = 'Chair 7' WHERE id = 7")
    await untilDelivered(rig)
    rig.emulator.imports.release()
    await rig.inStep()
  })

  test('a request that is under way while the import is recorded and lands does not leave the old state', async ({
    onTestFinished,
  }) => {
    const { rig, pipeline } = await started(onTestFinished)
    rig.emulator.imports.hold()
    const held = rig.held('import')
    const backfill = pipeline.backfill({})
    await held.reached()
    const slow = rig.emulator.faults.add({ when: { path: 'add' }, do: { latencyMs: 4_000 } })
    await rig.write("UPDATE products SET title = 'Table' WHERE id = 7")
    await soon(() => expect(slow.hits).toBe(1))
    slow.remove()
    held.goOn()
    await soon(async () => expect(await rig.side('requests', "kind = 'import'")).toHaveLength(3))
    rig.emulator.imports.release()
    await backfill
    await rig.inStep()
  })

  test('an answer that is lost while the import lands does not leave the old state', async ({ onTestFinished }) => {
    const { rig, pipeline } = await started(onTestFinished, { settings: { delivery: { requestTimeoutMs: 1_500 } } })
    rig.emulator.imports.hold()
    await pipeline.backfill({})
    const lost = rig.emulator.faults.add({ when: { path: 'add', times: 1 }, do: { hangAfterAccept: true } })
    await rig.write("UPDATE products SET title = 'Table' WHERE id = 7")
    await soon(() => expect(lost.hits).toBe(1))
    rig.emulator.imports.release()
    await rig.inStep()
  })

  test('the objects of an import that fails arrive one by one', async ({ onTestFinished }) => {
    const { rig, pipeline } = await started(onTestFinished)
    rig.emulator.faults.add({ when: { path: 'upload', times: 2 }, do: { reject: 400, message: 'no' } })
    await pipeline.backfill({})
    await rig.write("UPDATE products SET title = 'Table' WHERE id IN (3, 13, 23)")
    await rig.inStep()
    expect(rig.emulator.objects('products').size).toBe(25)
    expect(await rig.side('requests', "kind = 'import' AND status = 'failed'")).toHaveLength(2)
  })

  test('rows that are deleted where deletes are ignored leave no harm', async ({ onTestFinished }) => {
    const tables = { 'public.products': { ...products.tables['public.products'], onDelete: 'ignore' } }
    const { rig, pipeline } = await started(onTestFinished, { tables })
    rig.emulator.imports.hold()
    await pipeline.backfill({})
    await rig.write('DELETE FROM products WHERE id = 7')
    await rig.write("UPDATE products SET title = 'Table' WHERE id = 8")
    await untilDelivered(rig)
    rig.emulator.imports.release()
    await rig.quiet()
    expect(rig.emulator.object('products', '8')?.data.title).toBe('Table')
    expect(rig.emulator.objects('products').size).toBe(25)
    expect(await rig.side('objects', 'request_id IS NULL')).toEqual([])
  })

  test('rows that the mapping excludes meanwhile get their tombstone', async ({ onTestFinished }) => {
    const tables = {
      'public.products': {
        ...products.tables['public.products'],
        where: (row: { hidden?: unknown }) => row.hidden !== true,
      },
    }
    const expected = { products: `${products.expected.products} WHERE NOT hidden` }
    const { rig, pipeline } = await started(onTestFinished, { tables })
    rig.emulator.imports.hold()
    const before = rig.held('import')
    const backfill = pipeline.backfill({})
    await before.reached()
    await rig.write('UPDATE products SET hidden = true WHERE id IN (1, 11, 21)')
    await untilDelivered(rig)
    const between = rig.held('upload', { resetAfterAccept: true })
    before.goOn()
    await between.reached()
    await rig.write('UPDATE products SET hidden = true WHERE id IN (2, 12, 22)')
    await untilDelivered(rig)
    between.goOn()
    await backfill
    await rig.write('UPDATE products SET hidden = true WHERE id IN (3, 13, 23)')
    await untilDelivered(rig)
    rig.emulator.imports.release()
    await rig.inStep(expected)
  })

  test('a row that is deleted meanwhile gets its tombstone also where its id does not tell its key', async ({
    onTestFinished,
  }) => {
    const tables = {
      'public.products': { ...products.tables['public.products'], id: { fields: ['title'], prefix: 'p-' } },
    }
    const { rig, pipeline } = await started(onTestFinished, { tables })
    const held = rig.held('import')
    const backfill = pipeline.backfill({})
    await held.reached()
    await rig.write('DELETE FROM products WHERE id = 7')
    await untilDelivered(rig)
    held.goOn()
    await backfill
    await rig.inStep({
      products: `SELECT json_build_object('id', 'p-' || title, 'title', title, 'hidden', hidden) AS object FROM products`,
    })
  })

  test('of two backfills at once the second waits, and sends nothing again', async ({ onTestFinished }) => {
    const { rig, pipeline } = await started(onTestFinished)
    const other = await rig.start()
    const [first, second] = await Promise.all([pipeline.backfill({}), other.backfill({})])
    const imported = [first, second].map(({ tables }) => tables[0]?.imported).sort()
    expect(imported).toEqual([0, 25])
    await rig.inStep()
    expect(versionsOf(rig.emulator, 'products')).toBe(25)
  })

  test('a second backfill says that one is running that does not end', async ({ onTestFinished }) => {
    const { rig, pipeline } = await started(onTestFinished)
    const held = rig.held('import')
    const first = pipeline.backfill({})
    await held.reached()
    const other = await rig.start()
    await expect(other.backfill({})).rejects.toMatchObject({ code: 'BACKFILL_RUNNING' })
    held.goOn()
    await first
    await rig.inStep()
  })

  test('a scan of the whole table beside a backfill harms nothing', async ({ onTestFinished }) => {
    const { rig, pipeline } = await started(onTestFinished)
    rig.emulator.imports.hold()
    const held = rig.held('import')
    const backfill = pipeline.backfill({})
    await held.reached()
    await rig.write("INSERT INTO safetykit.dirty (source) VALUES ('public.products')")
    await soon(async () => expect(await rig.side('objects')).toHaveLength(25))
    held.goOn()
    await rig.write("UPDATE products SET title = 'Table' WHERE id % 5 = 0")
    await backfill
    rig.emulator.imports.release()
    await rig.inStep()
  })
})

const other = (capture: RigSettings['capture']): { settings: RigSettings } => ({
  settings: { ...(capture && { capture }) },
})

describe.concurrent('the other ways of noticing changes', () => {
  test('with replication, the backfilling process reads the changes itself where nobody does', async ({
    onTestFinished,
  }) => {
    const { rig, pipeline } = await started(onTestFinished, other('replication'))
    rig.emulator.imports.hold()
    const held = rig.held('import')
    const backfill = pipeline.backfill({})
    await held.reached()
    await rig.write(
      "UPDATE products SET title = 'Table' WHERE id IN (7, 17); DELETE FROM products WHERE id = 8; INSERT INTO products VALUES (80, 'Stool')",
    )
    held.goOn()
    await backfill
    await rig.write("UPDATE products SET title = 'Bench' WHERE id IN (9, 17); DELETE FROM products WHERE id = 10")
    rig.emulator.imports.release()
    await rig.inStep()
  })

  test('with replication, a change before the read that comes from the slot only after the record is not lost', async ({
    onTestFinished,
  }) => {
    const { rig, pipeline: first } = await started(onTestFinished, other('replication'))
    await rig.stop(first)
    // Nobody reads the slot but one that is held up by an API that is away for adds.
    await rig.write("UPDATE products SET title = 'Table' WHERE id IN (7, 17)")
    rig.emulator.imports.hold()
    const away = rig.emulator.faults.add({ when: { path: 'add' }, do: { status: 503 } })
    const pipeline = await rig.start()
    const held = rig.held('import')
    const backfill = pipeline.backfill({})
    await held.reached()
    await rig.write("UPDATE products SET title = 'Bench' WHERE id IN (8, 17); DELETE FROM products WHERE id = 9")
    held.goOn()
    await soon(async () => expect(await rig.side('requests', "kind = 'import'")).toHaveLength(3))
    away.remove()
    rig.emulator.imports.release()
    await backfill
    await rig.inStep()
  })

  for (const order of ['the sidecar first', 'the backfill first'] as const) {
    test(`with replication and a sidecar, ${order}, nothing falls between them`, async ({ onTestFinished }) => {
      const { rig, pipeline: one } = await started(onTestFinished, other('replication'))
      const two = await rig.start()
      const [sidecar, worker] = order === 'the sidecar first' ? [one, two] : [two, one]
      rig.emulator.imports.hold()
      const held = rig.held('import')
      const backfill = worker.backfill({})
      await held.reached()
      await rig.write(
        "UPDATE products SET title = 'Table' WHERE id IN (7, 17); DELETE FROM products WHERE id = 8; INSERT INTO products VALUES (80, 'Stool')",
      )
      held.goOn()
      await backfill
      await rig.stop(worker)
      await rig.write("UPDATE products SET title = 'Bench' WHERE id IN (9, 17); DELETE FROM products WHERE id = 10")
      rig.emulator.imports.release()
      await rig.inStep()
      await rig.stop(sidecar)
    })
  }

  test('with client capture, keys that the client has marked beside it are delivered as they are', async ({
    onTestFinished,
  }) => {
    const { rig, pipeline } = await started(onTestFinished, other('client'))
    rig.emulator.imports.hold()
    const held = rig.held('import')
    const backfill = pipeline.backfill({})
    await held.reached()
    const mark = (id: number) =>
      `INSERT INTO safetykit.dirty (source, key) VALUES ('public.products', '{"id": "${id}"}')`
    await rig.write(`UPDATE products SET title = 'Table' WHERE id = 7; ${mark(7)}`)
    await untilDelivered(rig)
    held.goOn()
    await backfill
    await rig.write(`DELETE FROM products WHERE id = 8; ${mark(8)}`)
    await rig.write(
      "UPDATE products SET title = 'Bench' WHERE id IN (9, 19); INSERT INTO safetykit.dirty (source) VALUES ('public.products')",
    )
    rig.emulator.imports.release()
    await rig.inStep()
  })
})
