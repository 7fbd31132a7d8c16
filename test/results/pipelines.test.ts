import { expect, onTestFinished, test } from 'vitest'
import { defineSync } from '../../src/index.js'
import { extensionRig } from '../extension/rig.js'
import { rigForTest } from '../support/pipeline.js'
import { soon } from '../support/soon.js'
import { workersForTest } from '../support/workers.js'

const sql = 'CREATE TABLE products (id integer PRIMARY KEY, title text)'
const tables = { 'public.products': { namespace: 'products', fields: { title: true } } }
const emulator = { processingMs: 200 }

const evaluated = (side: (table: string) => Promise<Record<string, unknown>[]>) =>
  soon(async () => {
    const [row] = await side('objects')
    expect(row).toMatchObject({ status: 'succeeded', output: { labels: [{ label: 'counterfeit' }] } })
    expect(row?.evaluated_request_id).toBe(row?.request_id)
    const [request] = await side('requests')
    expect(request).toMatchObject({ status: 'succeeded', completed_at: expect.any(Date) })
  })

test('whoever reads from the slot brings the evaluations back', async () => {
  const rig = await rigForTest({ sql, tables, emulator, settings: { results: 'poll' } })
  await rig.db.query(`INSERT INTO products VALUES (1, 'counterfeit')`)
  await evaluated((table) => rig.side(table))
  await rig.stop()
  expect(await rig.side('leases', `name = 'results' AND holder IS NOT NULL`)).toEqual([])
})

test('of several workers one brings the evaluations back', async () => {
  const rig = await workersForTest({ sql, tables, emulator, settings: { results: 'poll' } })
  await rig.db.query(`INSERT INTO products VALUES (1, 'counterfeit')`)
  await Promise.all([rig.start(), rig.start(), rig.start()])
  await evaluated((table) => rig.side(table))
})

test('an open import is followed by the workers, and what it overwrote is sent again', async () => {
  const rig = await workersForTest({ sql, tables, emulator })
  await rig.start()
  await rig.db.query(`INSERT INTO products VALUES (1, 'live')`)
  await soon(async () => expect(await rig.side('objects')).toHaveLength(1))
  const headers = { authorization: `Bearer ${rig.emulator.apiKey}`, 'content-type': 'application/json' }
  const asked = await fetch(`${rig.emulator.url}/v1/data/products/import`, { method: 'POST', headers, body: '{}' })
  const started = (await asked.json()) as { requestId: string; upload_url: string }
  await rig.db.query(
    `WITH r AS (
       INSERT INTO safetykit.requests (request_id, namespace, kind, object_count, status, created_at, updated_at)
       VALUES ($1, 'products', 'import', 1, 'accepted', now(), now()))
     INSERT INTO safetykit.submissions (namespace, object_id, request_id, submitted_at) VALUES ('products', '1', $1, now())`,
    [started.requestId],
  )
  const lines = `${JSON.stringify({ id: '1', title: 'stale' })}\n`
  await fetch(started.upload_url, { method: 'PUT', headers: { 'content-type': 'application/json' }, body: lines })
  await soon(() => expect(rig.emulator.object('products', '1')?.data.title).toBe('stale'))
  await soon(() => expect(rig.emulator.object('products', '1')?.data.title).toBe('live'))
})

test('an application is told of evaluations, and answers what they are', async () => {
  const rig = await extensionRig({ emulator })
  const sync = defineSync(rig.prisma, { models: { Seller: { namespace: 'sellers', fields: { name: true } } } })
  await rig.migrate(sync)
  const db = rig.prisma.$extends(sync.extension(rig.options))
  onTestFinished(() => db.$disconnect())
  const told: string[] = []
  db.$safetykit.on('evaluated', ({ objectId, output }) => told.push(`${objectId} ${output?.labels[0]?.label}`))
  const { id } = await db.seller.create({ data: { name: 'counterfeit & sons', email: 'a' } })
  const status = await soon(async () => {
    const found = await db.$safetykit.status('Seller', id)
    expect(found?.evaluation).toBeTruthy()
    return found
  })
  expect(status?.evaluation).toMatchObject({
    status: 'succeeded',
    requestId: status?.requestId,
    output: { labels: [{ label: 'counterfeit' }], actions: ['remove'] },
    evaluatedAt: expect.any(Date),
  })
  await soon(() => expect(told).toHaveLength(1))
  expect(told).toEqual([`${id} counterfeit`])
})
