import { describe, expect, onTestFinished, test } from 'vitest'
import { defineSync, SyncError } from '../../src/index.js'
import { type ExtensionRig, extensionRig } from './rig.js'

const models = {
  Product: { namespace: 'products', fields: { title: true } },
  Seller: [
    { namespace: 'sellers', id: { prefix: 'seller-' }, fields: { name: true } },
    { namespace: 'bios', fields: { bio: true } },
    { namespace: 'by-mail', id: { fields: ['email', 'createdAt'], join: '/' }, fields: { name: true } },
  ],
  OrderLine: { namespace: 'lines', fields: { note: true } },
  Report: { namespace: 'reports', fields: { details: true } },
  Review: { namespace: 'reviews', fields: { stars: true } },
} as const

// The sidecar delivers, or nobody: the answers are of the ledger alone.
function extended(rig: ExtensionRig) {
  const sync = defineSync(rig.prisma, { deliver: 'sidecar', models })
  const db = rig.prisma.$extends(sync.extension(rig.options))
  onTestFinished(() => db.$disconnect())
  return db
}

const insertObject = (rig: ExtensionRig, columns: Record<string, unknown>) => {
  const row = { namespace: 'products', source: 'public.Product', state: 'accepted', ...columns }
  const names = Object.keys(row)
  return rig.db.query(
    `INSERT INTO safetykit.objects (${names.join(', ')}) VALUES (${names.map((_, at) => `$${at + 1}`).join(', ')})`,
    Object.values(row),
  )
}

const productId = 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'

describe('status', () => {
  test('says what the ledger has of a row, with its evaluation', async () => {
    const rig = await extensionRig()
    const db = extended(rig)
    await insertObject(rig, {
      object_id: productId,
      request_id: 'req_1',
      accepted_at: '2026-01-02T03:04:05.678Z',
      status: 'succeeded',
      output: JSON.stringify({ labels: [{ label: 'fine', score: 0.5 }] }),
      url: 'https://example.com/1',
      evaluated_at: '2026-01-02T03:05:00Z',
      evaluated_request_id: 'req_0',
    })
    expect(await db.$safetykit.status('Product', productId)).toEqual({
      namespace: 'products',
      objectId: productId,
      state: 'accepted',
      requestId: 'req_1',
      acceptedAt: new Date('2026-01-02T03:04:05.678Z'),
      evaluation: {
        status: 'succeeded',
        requestId: 'req_0',
        output: { labels: [{ label: 'fine', score: 0.5 }] },
        url: 'https://example.com/1',
        evaluatedAt: new Date('2026-01-02T03:05:00Z'),
      },
      error: null,
    })
  })

  test('says why an object was refused, and is null where SafetyKit has nothing', async () => {
    const rig = await extensionRig()
    const db = extended(rig)
    const error = { code: 'API_REJECTED', status: 422, message: 'title is too long', at: '2026-01-02T03:04:05.000Z' }
    await insertObject(rig, { object_id: productId, state: 'parked', error: JSON.stringify(error) })
    expect(await db.$safetykit.status('Product', productId)).toMatchObject({
      state: 'parked',
      requestId: null,
      acceptedAt: null,
      evaluation: null,
      error: { ...error, hint: null, at: new Date(error.at) },
    })
    expect(await db.$safetykit.status('Product', 'b0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11')).toBeNull()
  })

  test('statuses answers for many rows, in the order of the ids', async () => {
    const rig = await extensionRig()
    const db = extended(rig)
    for (const id of ['1', '2']) await insertObject(rig, { namespace: 'reports', object_id: id })
    const found = await db.$safetykit.statuses('Report', [2n, 3n, '1', 2])
    expect(found.map((status) => status?.objectId ?? null)).toEqual(['2', null, '1', '2'])
    expect(await db.$safetykit.statuses('Report', [])).toEqual([])
  })
})

describe('ids are made as the mapping makes them', () => {
  test('with its prefix, and for each namespace of the model', async () => {
    const rig = await extensionRig()
    const db = extended(rig)
    await insertObject(rig, { namespace: 'sellers', object_id: 'seller-7' })
    await insertObject(rig, { namespace: 'bios', object_id: '7' })
    expect(await db.$safetykit.status('Seller', 7)).toMatchObject({ namespace: 'sellers', objectId: 'seller-7' })
    expect(await db.$safetykit.status('Seller', 7, { namespace: 'bios' })).toMatchObject({ objectId: '7' })
  })

  test('of several columns: by field, by the row itself, or joined', async () => {
    const rig = await extensionRig()
    const db = extended(rig)
    const orderId = 'c0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'
    await insertObject(rig, { namespace: 'lines', object_id: `${orderId}:3` })
    const row = { line: 3, quantity: 5, orderId: orderId.toUpperCase(), note: null }
    expect(await db.$safetykit.status('OrderLine', { orderId, line: '3' })).not.toBeNull()
    expect(await db.$safetykit.status('OrderLine', row)).not.toBeNull()
    expect(await db.$safetykit.status('OrderLine', `${orderId}:3`)).not.toBeNull()
  })

  test('of columns that are mapped to other names', async () => {
    const rig = await extensionRig()
    const db = extended(rig)
    await insertObject(rig, { namespace: 'reviews', object_id: '12' })
    expect(await db.$safetykit.status('Review', 12)).not.toBeNull()
    expect(await db.$safetykit.status('Review', { id: 12 })).not.toBeNull()
  })

  test('in the text that Postgres writes, whatever way the value was given', async () => {
    const rig = await extensionRig()
    const db = extended(rig)
    await insertObject(rig, { object_id: productId })
    expect(await db.$safetykit.status('Product', productId.toUpperCase())).not.toBeNull()
    await insertObject(rig, { namespace: 'by-mail', object_id: 'a@b.c/2026-01-02 03:04:05.6' })
    const key = { email: 'a@b.c', createdAt: new Date('2026-01-02T03:04:05.600Z') }
    expect(await db.$safetykit.status('Seller', key, { namespace: 'by-mail' })).not.toBeNull()
  })

  test.each([
    ['a model that is not mapped', (db: ReturnType<typeof extended>) => db.$safetykit.status('Message' as 'Report', 1)],
    ['a namespace of another model', (db) => db.$safetykit.status('Report', 1, { namespace: 'products' })],
    ['a value that is none of the type', (db) => db.$safetykit.status('Product', 'no-uuid-at-all')],
    ['a key that lacks a column', (db) => db.$safetykit.status('OrderLine', { line: 1 })],
    ['one value for two columns', (db) => db.$safetykit.status('OrderLine', 5)],
    ['no rows to send again', (db) => db.$safetykit.resend('Product', undefined as never)],
  ] satisfies [string, (db: ReturnType<typeof extended>) => Promise<unknown>][])('and %s is told', async (_, ask) => {
    const rig = await extensionRig()
    const error = await ask(extended(rig)).catch((thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(SyncError)
    expect((error as SyncError).code).toBe('ARGUMENT_INVALID')
    expect((error as SyncError).message).not.toContain('no-uuid-at-all')
  })
})

test('requests tells the history of an object, the newest first', async () => {
  const rig = await extensionRig()
  const db = extended(rig)
  for (const [request, minute] of [
    ['req_1', 1],
    ['req_2', 2],
    ['req_3', 3],
  ]) {
    const at = `2026-01-01T00:0${minute}:00Z`
    await rig.db.query(`INSERT INTO safetykit.requests VALUES ($1, 'reports', 'add', 2, 'accepted', null, $2, $2)`, [
      request,
      at,
    ])
    await rig.db.query(
      `INSERT INTO safetykit.submissions VALUES ('reports', '5', $1, $2), ('products', '5', 'other', $2), ('reports', '6', $1, $2)`,
      [request, at],
    )
  }
  const requests = await db.$safetykit.requests('Report', 5n)
  expect(requests.map(({ requestId }) => requestId)).toEqual(['req_3', 'req_2', 'req_1'])
  expect(requests[0]).toEqual({
    requestId: 'req_3',
    namespace: 'reports',
    objectId: '5',
    submittedAt: new Date('2026-01-01T00:03:00Z'),
    kind: 'add',
    status: 'accepted',
    objectCount: 2,
    createdAt: new Date('2026-01-01T00:03:00Z'),
    updatedAt: new Date('2026-01-01T00:03:00Z'),
  })
  expect(await db.$safetykit.requests('Report', 5, { limit: 1 })).toHaveLength(1)
})

describe('resend', () => {
  const marked = (rig: ExtensionRig) =>
    rig.db.query<{ source: string; key: object; force: boolean }>(
      'SELECT source, key, force FROM safetykit.dirty ORDER BY seq',
    )

  test('marks the rows that match, with the key as every other door writes it', async () => {
    const rig = await extensionRig()
    const db = extended(rig)
    await db.seller.createMany({
      data: [1, 2, 3].map((n) => ({
        name: `n${n}`,
        email: `${n}@b.c`,
        createdAt: new Date('2026-01-02T03:04:05.600Z'),
      })),
    })
    expect(await db.$safetykit.resend('Seller', { name: { not: 'n2' } })).toBe(2)
    const createdAt = '2026-01-02 03:04:05.6'
    expect((await marked(rig)).rows).toEqual([
      { source: 'public.Seller', key: { id: '1', email: '1@b.c', createdAt }, force: true },
      { source: 'public.Seller', key: { id: '3', email: '3@b.c', createdAt }, force: true },
    ])
  })

  test('walks keys of several columns and of more rows than one page holds, each row once', async () => {
    const rig = await extensionRig()
    const db = extended(rig)
    const seller = await db.seller.create({ data: { name: 'n', email: 'e' } })
    const product = await db.product.create({ data: { title: 't', price: 1, sellerId: seller.id } })
    await rig.db.query(
      `INSERT INTO "OrderLine" ("orderId", line, "productId", "unitPrice")
       SELECT md5((n / 7)::text)::uuid, n % 7, $1, 1 FROM generate_series(1, 2500) n`,
      [product.id],
    )
    expect(await db.$safetykit.resend('OrderLine', {})).toBe(2500)
    const { rows } = await rig.db.query(
      `SELECT count(*)::int AS count, count(DISTINCT key)::int AS different FROM safetykit.dirty WHERE force AND source = 'public.OrderLine'`,
    )
    expect(rows).toEqual([{ count: 2500, different: 2500 }])
  })

  test('finds what the client finds that was extended', async () => {
    const rig = await extensionRig()
    const hiding = rig.prisma.$extends({
      query: {
        report: {
          findMany: ({ args, query }) => query({ ...args, where: { AND: [args.where ?? {}, { reason: 'SPAM' }] } }),
        },
      },
    })
    const sync = defineSync(hiding, { deliver: 'sidecar', models: { Report: models.Report } })
    const db = hiding.$extends(sync.extension(rig.options))
    onTestFinished(() => db.$disconnect())
    const seller = await db.seller.create({ data: { name: 'n', email: 'e' } })
    await db.report.createMany({
      data: [
        { reason: 'SPAM', reporterId: seller.id },
        { reason: 'COUNTERFEIT', reporterId: seller.id },
      ],
    })
    expect(await db.$safetykit.resend('Report', {})).toBe(1)
  })
})

describe('where nothing was migrated', () => {
  test('every answer says which command to run', async () => {
    const rig = await extensionRig({ sideTables: false })
    const db = extended(rig)
    for (const ask of [
      () => db.$safetykit.status('Report', 1),
      () => db.$safetykit.requests('Report', 1),
      () => db.$safetykit.flush(),
    ]) {
      await expect(ask()).rejects.toMatchObject({ code: 'SCHEMA_OUTDATED', hint: 'Run: safetykit-sync migrate' })
    }
  })
})

describe('retry', () => {
  test('has refused objects sent again, those that fit, and says how many of what', async () => {
    const rig = await extensionRig()
    const db = extended(rig)
    const key = JSON.stringify({ id: productId })
    const error = JSON.stringify({ code: 'API_REJECTED' })
    await insertObject(rig, { object_id: productId, state: 'dead', attempts: 7, error, key })
    await insertObject(rig, { object_id: '7', namespace: 'bios', source: 'public.Seller', state: 'dead', key })
    const group = { namespace: 'products', code: 'API_REJECTED', state: 'dead', objects: 1 }
    const asked = { namespaces: ['products'], state: 'dead' } as const
    expect(await db.$safetykit.retry({ ...asked, dryRun: true })).toMatchObject({ objects: 1, groups: [group] })
    expect(await db.$safetykit.retry(asked)).toMatchObject({ objects: 1, groups: [group] })
    const { rows } = await rig.db.query('SELECT source, key, force FROM safetykit.dirty')
    expect(rows).toEqual([{ source: 'public.Product', key: { id: productId }, force: false }])
    expect(await db.$safetykit.retry({})).toMatchObject({ objects: 1, waiting: 1 })
  })
})
