import { describe, expect, test } from 'vitest'
import { defineSync, isSync } from '../../src/index.js'
import { extended, prisma, prismaJs } from './clients.js'

const sellers = { namespace: 'sellers', fields: { name: true } } as const

describe('defaults', () => {
  test('every setting that is left out has its documented default', () => {
    const { mappings, ...options } = defineSync(prisma, { models: { Seller: sellers } }).resolved
    expect(options).toEqual({
      capture: 'trigger',
      deliver: 'inline',
      strict: false,
      schema: 'safetykit',
      ledgerUrl: null,
      publication: { name: 'safetykit', columns: 'all' },
      slot: { name: 'safetykit', onLost: 'recreate' },
      spill: { afterMs: 60_000, lagBytes: 1_073_741_824 },
      heartbeat: { everyMs: 15_000, deadlineMs: 30_000 },
      delivery: {
        maxBatchObjects: 100,
        maxBatchBytes: 1_048_576,
        maxBatchAgeMs: 25,
        maxConcurrency: 16,
        requestTimeoutMs: 30_000,
        retryBaseMs: 250,
        retryMaxMs: 30_000,
      },
      parking: { retryAfterMs: [60_000, 300_000, 1_800_000, 7_200_000, 21_600_000, 86_400_000] },
      maxPendingBytes: 8_388_608,
      import: { minObjects: 5_000, maxPartBytes: 67_108_864, maxPartObjects: 250_000, spoolDirectory: null },
      scan: { everyMs: null },
      results: 'poll',
      onResult: null,
    })
    expect(mappings).toEqual([
      {
        path: 'models.Seller',
        table: { schema: 'public', name: 'Seller' },
        namespace: 'sellers',
        id: { columns: null, join: ':', prefix: '' },
        fields: [{ column: 'name', property: 'name', as: 'name', settings: {} }],
        computed: [],
        where: null,
        onDelete: 'ignore',
        deliver: 'latest',
      },
    ])
  })

  test('one setting of a group leaves the others of the group at their defaults', () => {
    const { resolved } = defineSync(prisma, {
      delivery: { maxConcurrency: 2 },
      publication: { columns: 'mapped' },
      models: { Seller: sellers },
    })
    expect(resolved.delivery).toMatchObject({ maxConcurrency: 2, maxBatchObjects: 100 })
    expect(resolved.publication).toEqual({ name: 'safetykit', columns: 'mapped' })
  })

  test('the sidecar delivers with replication, and wherever there is no Prisma client', () => {
    expect(defineSync(prisma, { capture: 'replication', models: { Seller: sellers } }).resolved.deliver).toBe('sidecar')
    expect(defineSync({ tables: { 'public.sellers': sellers } }).resolved.deliver).toBe('sidecar')
    const { deliver } = defineSync(prisma, {
      capture: 'client',
      deliver: 'sidecar',
      models: { Seller: sellers },
    }).resolved
    expect(deliver).toBe('sidecar')
  })
})

describe('names', () => {
  const clients = { 'prisma-client': prisma, 'prisma-client-js': prismaJs }

  test.each(Object.entries(clients))('models and fields become tables and columns with %s', (_, client) => {
    // One generator's type stands for both, which the type tests check one by one.
    const { mappings } = defineSync(client as typeof prisma, {
      models: {
        Review: { namespace: 'reviews', id: 'id', fields: { productId: { as: 'product' }, text: true, stars: true } },
        Report: { namespace: 'reports', fields: { reporterId: true, reason: true } },
        OrderLine: { namespace: 'lines', id: { fields: ['line', 'orderId'], join: '/' }, fields: { quantity: true } },
      },
    }).resolved
    expect(mappings.map(({ table }) => table)).toEqual([
      { schema: 'public', name: 'product_reviews' },
      { schema: 'trust', name: 'reports' },
      { schema: 'public', name: 'OrderLine' },
    ])
    expect(mappings[0]).toMatchObject({
      id: { columns: ['review_id'] },
      fields: [
        { property: 'productId', column: 'product_id', as: 'product' },
        { property: 'text', column: 'review_text', as: 'text' },
        { property: 'stars', column: 'stars', as: 'stars' },
      ],
    })
    expect(mappings[1]!.fields).toMatchObject([{ column: 'reporter_id' }, { column: 'reason' }])
    expect(mappings[2]!.id).toEqual({ columns: ['line', 'orderId'], join: '/', prefix: '' })
  })

  test('an extended client has the same models', () => {
    const { mappings } = defineSync(extended, { models: { Seller: sellers } }).resolved
    expect(mappings).toEqual(defineSync(prisma, { models: { Seller: sellers } }).resolved.mappings)
  })

  test('a model without @@schema is in no schema yet: the database URL names it', () => {
    const models = { Item: { dbName: null, schema: null, fields: [{ name: 'a', kind: 'scalar', type: 'String' }] } }
    const client = { $extends: undefined, _runtimeDataModel: { models, enums: {}, types: {} } }
    const config = { models: { Item: { namespace: 'items', fields: { a: true } } } }
    const { mappings } = defineSync(client, config as never).resolved
    expect(mappings[0]!.table).toEqual({ schema: null, name: 'Item' })
  })

  test("a table's key divides at its first dot, and keeps its letters as they are", () => {
    const { mappings } = defineSync({
      tables: {
        'Shop.Product': { namespace: 'a', fields: { Title: true } },
        'public.odd.name': { namespace: 'b', fields: { x: { as: 'y' } } },
      },
    }).resolved
    expect(mappings.map(({ table }) => table)).toEqual([
      { schema: 'Shop', name: 'Product' },
      { schema: 'public', name: 'odd.name' },
    ])
    expect(mappings[0]!.path).toBe('tables["Shop.Product"]')
    expect(mappings[0]!.fields).toEqual([{ column: 'Title', property: 'Title', as: 'Title', settings: {} }])
    expect(mappings[1]!.fields).toEqual([{ column: 'x', property: 'x', as: 'y', settings: {} }])
  })
})

describe('mappings', () => {
  test('settings are kept in the words of the API, and nothing else is among them', () => {
    const { mappings } = defineSync(prisma, {
      models: {
        Product: {
          namespace: 'products',
          fields: {
            title: { as: 'name', display_hint: { type: 'title', name: 'Name', order: 1 }, field_limit: 80 },
            sellerId: { namespace_ref: 'sellers', belongs_to: 'seller' },
            attributes: { content_type: 'metadata' },
          },
          computed: { upper: { value: (row) => row.title.toUpperCase(), display_hint: { type: 'subtitle' } } },
          where: (row) => row.sellerId > 0,
          onDelete: 'tombstone',
        },
      },
    }).resolved
    const [mapping] = mappings
    expect(mapping!.fields.map(({ as, settings }) => [as, settings])).toEqual([
      ['name', { display_hint: { type: 'title', name: 'Name', order: 1 }, field_limit: 80 }],
      ['sellerId', { namespace_ref: 'sellers', belongs_to: 'seller' }],
      ['attributes', { content_type: 'metadata' }],
    ])
    expect(mapping).toMatchObject({ onDelete: 'tombstone' })
    expect(mapping!.computed).toMatchObject([{ as: 'upper', settings: { display_hint: { type: 'subtitle' } } }])
    expect(mapping!.computed[0]!.value({ title: 'a', sellerId: 1, attributes: {} })).toBe('A')
    expect(mapping!.where?.({ title: 'a', sellerId: 0, attributes: {} })).toBe(false)
  })

  test('words that this version does not know are passed on when they are marked as unchecked', () => {
    const { mappings } = defineSync(prisma, {
      models: {
        Product: {
          namespace: 'products',
          fields: { title: { field_limit: 5, unchecked: { content_type: 'hologram_url', later: { deep: [1] } } } },
        },
      },
    }).resolved
    expect(mappings[0]!.fields[0]!.settings).toEqual({
      field_limit: 5,
      content_type: 'hologram_url',
      later: { deep: [1] },
    })
  })

  test('a model can go into several namespaces', () => {
    const { mappings } = defineSync(prisma, {
      models: { Seller: [sellers, { namespace: 'bios', fields: { bio: true } }] },
    }).resolved
    expect(mappings.map(({ path, namespace }) => [path, namespace])).toEqual([
      ['models.Seller[0]', 'sellers'],
      ['models.Seller[1]', 'bios'],
    ])
  })

  test('two models can share a namespace where their prefixes keep the ids apart', () => {
    const { mappings } = defineSync(prisma, {
      models: {
        Seller: { namespace: 'all', id: { prefix: 'seller-' }, fields: { name: { field_limit: 9 } } },
        Product: { namespace: 'all', id: { prefix: 'product-' }, fields: { title: { as: 'name', field_limit: 9 } } },
      },
    }).resolved
    expect(mappings.map(({ id }) => id)).toEqual([
      { columns: null, join: ':', prefix: 'seller-' },
      { columns: null, join: ':', prefix: 'product-' },
    ])
  })

  test('a mapping may hold computed fields only', () => {
    const { mappings } = defineSync(prisma, {
      models: { Seller: { namespace: 'sellers', fields: {}, computed: { kind: { value: () => 'seller' } } } },
    }).resolved
    expect(mappings[0]).toMatchObject({ fields: [], computed: [{ as: 'kind' }] })
  })
})

describe('isSync', () => {
  test('knows what defineSync gave, also through another copy of the package', () => {
    expect(isSync(defineSync(prisma, { models: { Seller: sellers } }))).toBe(true)
    expect(isSync({ [Symbol.for('prisma-extension-safetykit.sync')]: true, resolved: {} })).toBe(true)
    expect(isSync({ resolved: {} })).toBe(false)
    expect(isSync(null)).toBe(false)
  })
})
