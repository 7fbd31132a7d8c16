import { expect, test } from 'vitest'
import { verify } from '../../src/pipeline/verify/verify.js'
import { defineSync } from '../../src/sync.js'
import { type ScanRig, scanRig } from '../scan/rig.js'

const source = 'public.products'

async function rigOf(tables: object, rows = 100) {
  const rig = await scanRig({
    sql: `CREATE TABLE products (id integer PRIMARY KEY, title text);
      INSERT INTO products SELECT i, 't' || i FROM generate_series(1, ${rows}) AS i`,
    tables,
  })
  const { resolved } = defineSync({ capture: 'trigger', tables } as never)
  const deliver = async (options?: Parameters<ScanRig['deliver']>[0]) => {
    await rig.mark(source)
    await rig.scan()
    await rig.deliver(options)
  }
  return { rig, deliver, verified: (options = {}) => verify({ resolved, databaseUrl: rig.db.url, ...options }) }
}

const plain = { [source]: { namespace: 'products', fields: { title: true } } }
const graves = { [source]: { namespace: 'products', fields: { title: true }, onDelete: 'tombstone' } }
const counts = { inStep: 0, missing: 0, different: 0, parked: 0, dead: 0, gone: 0, untold: 0 }

test('nothing was sent: everything is missing; all was sent: everything is in step', async () => {
  const { verified, deliver, rig } = await rigOf(plain)
  expect(await verified()).toEqual({
    inStep: false,
    tables: [{ source, rows: 100, waiting: 0, mappings: [{ namespace: 'products', ...counts, missing: 100 }] }],
  })
  await deliver()
  const before = await rig.db.query('SELECT * FROM safetykit.objects ORDER BY object_id')
  expect(await verified()).toEqual({
    inStep: true,
    tables: [{ source, rows: 100, waiting: 0, mappings: [{ namespace: 'products', ...counts, inStep: 100 }] }],
  })
  expect((await rig.db.query('SELECT * FROM safetykit.objects ORDER BY object_id')).rows).toEqual(before.rows)
})

test('each way to differ is counted', async () => {
  const { verified, deliver, rig } = await rigOf(graves)
  await rig.db.query(`INSERT INTO products VALUES (900, 'refused'), (901, 'refused')`)
  await deliver({ refuse: (id) => Number(id) >= 900 })
  await rig.db.query(`UPDATE safetykit.objects SET state = 'parked' WHERE object_id = '901';
    UPDATE products SET title = 'new' WHERE id IN (1, 2); INSERT INTO products VALUES (500, 'late');
    DELETE FROM products WHERE id IN (10, 11, 12);
    INSERT INTO safetykit.dirty (source, key) VALUES ('${source}', '{"id": "1"}')`)
  const { inStep, tables } = await verified()
  expect(inStep).toBe(false)
  expect(tables).toEqual([
    {
      source,
      rows: 100,
      waiting: 1,
      mappings: [
        { namespace: 'products', inStep: 95, missing: 1, different: 2, parked: 1, dead: 1, gone: 3, untold: 0 },
      ],
    },
  ])
})

test('a row that is gone counts against it only where tombstones are sent, and not once it has one', async () => {
  const kept = await rigOf(plain)
  await kept.deliver()
  await kept.rig.db.query('DELETE FROM products WHERE id = 1')
  expect(await kept.verified()).toMatchObject({ inStep: true, tables: [{ mappings: [{ inStep: 99, gone: 1 }] }] })

  const buried = await rigOf(graves)
  await buried.deliver()
  await buried.rig.db.query('DELETE FROM products WHERE id = 1')
  expect(await buried.verified()).toMatchObject({ inStep: false, tables: [{ mappings: [{ gone: 1 }] }] })
  await buried.deliver()
  expect(await buried.verified()).toMatchObject({ inStep: true, tables: [{ mappings: [{ inStep: 99, gone: 0 }] }] })
})

test('with a condition only its rows are looked at, and nothing is said of rows that are gone', async () => {
  const { verified, deliver, rig } = await rigOf(plain)
  await deliver()
  await rig.db.query(`UPDATE products SET title = 'new' WHERE id = 5`)
  expect(await verified({ where: 'id > 50' })).toMatchObject({
    inStep: true,
    tables: [{ rows: 50, mappings: [{ inStep: 50, gone: null, untold: null }] }],
  })
  expect(await verified({ where: 't.id < 10' })).toMatchObject({ inStep: false, tables: [{ rows: 9 }] })
  await expect(verified({ where: 'nonsense' })).rejects.toMatchObject({ code: 'ARGUMENT_INVALID' })
})

test('a row on which the mapping fails is missing until its failure is recorded, then refused', async () => {
  const computed = {
    size: {
      value: ({ title }: { title: string }) => {
        if (title === 't2') throw new Error('too bad')
        return title.length
      },
    },
  }
  const { verified, deliver } = await rigOf(
    { [source]: { namespace: 'products', fields: { title: true }, computed } },
    3,
  )
  expect(await verified()).toMatchObject({ tables: [{ mappings: [{ missing: 3 }] }] })
  await deliver()
  expect(await verified()).toMatchObject({ inStep: false, tables: [{ mappings: [{ inStep: 2, dead: 1 }] }] })
})

test('what comes in step while it is looked at counts as in step', async () => {
  const { verified, deliver, rig } = await rigOf(plain, 3_000)
  await deliver()
  await rig.db.query(`UPDATE products SET title = 'new'`)
  // The rest is delivered once the walk is over, which tells of all rows then.
  let going: Promise<void> | null = null
  const report = await verified({
    onProgress: () => {
      going ??= deliver()
    },
  })
  await going
  expect(report).toMatchObject({ inStep: true, tables: [{ rows: 3_000, mappings: [{ inStep: 3_000, different: 0 }] }] })
})

test('mappings of a table are told apart, and unknown names are refused with the nearest one', async () => {
  const { verified, deliver } = await rigOf({
    [source]: [
      { namespace: 'products', fields: { title: true } },
      {
        namespace: 'shown',
        fields: { title: true },
        where: (row: { title: string }) => row.title !== 't1',
      },
    ],
  })
  await deliver()
  expect(await verified({ tables: ['products'] })).toMatchObject({
    inStep: true,
    tables: [
      {
        mappings: [
          { namespace: 'products', inStep: 100, gone: 0 },
          { namespace: 'shown', inStep: 100, gone: 0 },
        ],
      },
    ],
  })
  await expect(verified({ tables: ['public.product'] })).rejects.toMatchObject({
    code: 'ARGUMENT_INVALID',
    hint: 'Did you mean public.products?',
  })
  await expect(verified({ models: ['Product'] })).rejects.toMatchObject({ code: 'ARGUMENT_INVALID' })
})

test('it ends when it is asked to, with the reason', async () => {
  const { verified } = await rigOf(plain, 20_000)
  const stopping = new AbortController()
  const reason = new Error('enough')
  const onProgress = (): void => stopping.abort(reason)
  await expect(verified({ signal: stopping.signal, onProgress })).rejects.toBe(reason)
})
