import { describe, expect, test } from 'vitest'
import { ConfigError, defineSync } from '../../src/index.js'
import { mistakesOf, prisma } from './clients.js'

// What the types refuse is written all the same, as it is where a configuration is JavaScript.
const ofModels = (config: object) => mistakesOf(() => defineSync(prisma, config as never))
const ofTables = (config: object) => mistakesOf(() => defineSync(config as never))
const ofProduct = (mapping: object) =>
  ofModels({ models: { Product: { namespace: 'products', fields: { title: true }, ...mapping } } })
const ofField = (field: unknown) => ofProduct({ fields: { title: field } })

const fine = { Seller: { namespace: 'sellers', fields: { name: true } } }
const at = 'models.Product'

describe('names that are not known', () => {
  test('a model', () => {
    expect(ofModels({ models: { Prodct: { namespace: 'p', fields: { title: true } } } })).toEqual([
      { path: 'models.Prodct', message: 'there is no model of this name', hint: 'did you mean Product?' },
    ])
  })

  test('a model near to none: all are named', () => {
    const [mistake] = ofModels({ models: { Warehouse: { namespace: 'p', fields: { title: true } } } })
    expect(mistake!.hint).toBe('known are Seller, Product, ProductImage, Message, Review, OrderLine, Report')
  })

  test("a model by the client's property", () => {
    const [mistake] = ofModels({ models: { orderLine: { namespace: 'p', fields: { line: true } } } })
    expect(mistake).toMatchObject({ path: 'models.orderLine', hint: 'did you mean OrderLine?' })
  })

  test('a field', () => {
    expect(ofProduct({ fields: { titel: true } })).toEqual([
      { path: `${at}.fields.titel`, message: 'there is no field of this name', hint: 'did you mean title?' },
    ])
  })

  test("a field by its column's name", () => {
    const [mistake] = ofModels({ models: { Review: { namespace: 'r', fields: { product_id: true } } } })
    expect(mistake).toMatchObject({ path: 'models.Review.fields.product_id', hint: 'did you mean productId?' })
  })

  test('a field of a result extension', () => {
    const [mistake] = ofProduct({ fields: { headline: true } })
    expect(mistake).toMatchObject({ path: `${at}.fields.headline`, message: 'there is no field of this name' })
  })

  test('a name that every object has', () => {
    expect(ofProduct({ fields: { toString: true } })).toMatchObject([{ path: `${at}.fields.toString` }])
    expect(ofModels({ models: { constructor: { namespace: 'c', fields: { a: true } } } })).toMatchObject([
      { path: 'models.constructor', message: 'there is no model of this name' },
    ])
  })

  test.each([
    ['alone', 'idd', `${at}.id`],
    ['in a list', ['id', 'idd'], `${at}.id[1]`],
    ['in an object', { fields: ['idd'] }, `${at}.id.fields[0]`],
  ])('a field to make an id of, %s', (_, id, path) => {
    expect(ofProduct({ id })).toEqual([{ path, message: 'there is no field of this name', hint: 'did you mean id?' }])
  })

  test.each([
    [{ heartbeat: { everyMs: 3e9 } }, 'heartbeat.everyMs'],
    [{ heartbeat: { deadlineMs: 3e9 } }, 'heartbeat.deadlineMs'],
    [{ delivery: { requestTimeoutMs: 1e10 } }, 'delivery.requestTimeoutMs'],
    [{ delivery: { maxBatchAgeMs: 2 ** 31 } }, 'delivery.maxBatchAgeMs'],
    [{ spill: { afterMs: 2 ** 31 } }, 'spill.afterMs'],
  ])('a time that no timer can wait for %#', (config, path) => {
    expect(ofModels({ ...config, models: fine })).toMatchObject([
      { path, message: expect.stringContaining('may be 2147483647 (24 days) at most') },
    ])
  })

  test.each([
    [{ model: {}, models: fine }, 'model', 'did you mean models?'],
    [{ captur: 'trigger', models: fine }, 'captur', 'did you mean capture?'],
    [{ delivery: { maxBatchObject: 1 }, models: fine }, 'delivery.maxBatchObject', 'did you mean maxBatchObjects?'],
    [{ slot: { nam: 'a' }, models: fine }, 'slot.nam', 'did you mean name?'],
    [{ publication: { column: 'all' }, models: fine }, 'publication.column', 'did you mean columns?'],
    [{ parking: { retryAfter: [] }, models: fine }, 'parking.retryAfter', 'did you mean retryAfterMs?'],
  ])('a setting %#', (config, path, hint) => {
    expect(ofModels(config)).toEqual([{ path, message: 'there is no setting of this name', hint }])
  })

  test.each([
    [{ ondelete: 'ignore' }, `${at}.ondelete`, 'did you mean onDelete?'],
    [{ id: { field: 'id' } }, `${at}.id.field`, 'did you mean fields?'],
    [{ fields: { title: { conten_type: 'card' } } }, `${at}.fields.title.conten_type`, 'did you mean content_type?'],
    [
      { fields: { title: { display_hint: { type: 'title', ordr: 1 } } } },
      `${at}.fields.title.display_hint.ordr`,
      'did you mean order?',
    ],
    [
      { computed: { a: { value: () => 1, field_limt: 1 } } },
      `${at}.computed.a.field_limt`,
      'did you mean field_limit?',
    ],
  ])('a setting of a mapping %#', (mapping, path, hint) => {
    expect(ofProduct(mapping)).toEqual([{ path, message: 'there is no setting of this name', hint }])
  })

  test('a content type, a hint, a way to capture, with the nearest known word', () => {
    expect(ofField({ content_type: 'image_ulr' })).toEqual([
      { path: `${at}.fields.title.content_type`, message: '"image_ulr" is not known', hint: 'did you mean image_url?' },
    ])
    expect(ofField({ display_hint: { type: 'titel' } })).toEqual([
      { path: `${at}.fields.title.display_hint.type`, message: '"titel" is not known', hint: 'did you mean title?' },
    ])
    expect(ofProduct({ computed: { a: { value: () => 1, display_hint: { type: 'markdwn' } } } })).toMatchObject([
      { path: `${at}.computed.a.display_hint.type`, hint: 'did you mean markdown?' },
    ])
    expect(ofModels({ capture: 'triger', models: fine })).toMatchObject([
      { path: 'capture', hint: 'did you mean trigger?' },
    ])
    expect(ofModels({ deliver: 'sidcar', models: fine })).toMatchObject([
      { path: 'deliver', hint: 'did you mean sidecar?' },
    ])
    expect(ofProduct({ onDelete: 'tombston' })).toMatchObject([
      { path: `${at}.onDelete`, hint: 'did you mean tombstone?' },
    ])
  })

  test('a word near to none says which are known, and how to pass a newer one', () => {
    const [mistake] = ofField({ content_type: 'hologram' })
    expect(mistake!.hint).toContain('image_url, video_url, website_url, datetime, metadata, audio_url, card')
    expect(mistake!.hint).toContain("unchecked: { content_type: '…' }")
  })
})

describe('fields', () => {
  test('a relation has no column: the foreign key is named', () => {
    expect(ofProduct({ fields: { seller: true } })).toEqual([
      {
        path: `${at}.fields.seller`,
        message: 'is a relation, and only fields with a column of their own can be used',
        hint: 'use the foreign key: sellerId',
      },
    ])
  })

  test('a relation whose foreign key is on the other side', () => {
    const [mistake] = ofProduct({ fields: { images: true } })
    expect(mistake).toMatchObject({ path: `${at}.fields.images`, hint: expect.stringContaining('ProductImage') })
  })

  test.each([[false], [null], ['title'], [1], [[]]])('a field that is %j', (field) => {
    expect(ofField(field)).toEqual([
      {
        path: `${at}.fields.title`,
        message: 'has to be true or an object of settings',
        hint: 'leave out what is not to be sent',
      },
    ])
  })

  test.each([[0], [-1], [Number.NaN], ['3']])('a limit of %j', (field_limit) => {
    expect(ofField({ field_limit })).toMatchObject([{ path: `${at}.fields.title.field_limit` }])
  })

  test('a limit of 0 is told why', () => {
    expect(ofField({ field_limit: 0 })[0]!.message).toBe('has to be above 0')
  })

  test.each([['a b'], ['a/b'], ['é'], [''], ['a.b']])('the namespace %j', (namespace) => {
    const message = 'may hold letters, digits, _ and -, and nothing else'
    expect(ofProduct({ namespace })).toEqual([{ path: `${at}.namespace`, message, hint: undefined }])
    expect(ofField({ namespace_ref: namespace })).toMatchObject([{ path: `${at}.fields.title.namespace_ref`, message }])
  })

  test('no namespace, no fields', () => {
    expect(ofModels({ models: { Product: {} } })).toEqual([
      { path: `${at}.namespace`, message: 'is missing', hint: undefined },
      { path: `${at}.fields`, message: 'is missing', hint: undefined },
    ])
  })

  test('an empty list of fields, and nothing computed', () => {
    const message = 'names no field, so that nothing would be sent'
    expect(ofProduct({ fields: {} })).toMatchObject([{ path: `${at}.fields`, message }])
    expect(ofProduct({ fields: {}, computed: {} })).toMatchObject([{ path: `${at}.fields`, message }])
  })

  test("the object's own id", () => {
    const message = "is sent as 'id', which is the object's own"
    expect(ofProduct({ fields: { id: true } })).toMatchObject([{ path: `${at}.fields.id`, message }])
    expect(ofField({ as: 'id' })).toMatchObject([{ path: `${at}.fields.title`, message }])
    expect(ofProduct({ computed: { id: { value: () => 1 } } })).toMatchObject([{ path: `${at}.computed.id`, message }])
  })

  test('deleted, which is what a tombstone says', () => {
    const message = "is sent as 'deleted', which a tombstone says"
    const fields = { title: { as: 'deleted' } }
    expect(ofProduct({ onDelete: 'tombstone', fields })).toMatchObject([{ path: `${at}.fields.title`, message }])
    expect(ofProduct({ onDelete: 'tombstone', computed: { deleted: { value: () => false } } })).toMatchObject([
      { path: `${at}.computed.deleted`, message },
    ])
    expect(() =>
      defineSync(prisma, { models: { Product: { namespace: 'p', fields: { title: { as: 'deleted' } } } } }),
    ).not.toThrow()
  })

  test('two fields sent under one name', () => {
    expect(ofProduct({ fields: { title: true, description: { as: 'title' } } })).toMatchObject([
      { path: `${at}.fields.description`, message: 'is sent as "title", as is title' },
    ])
    expect(ofProduct({ computed: { title: { value: () => 1 } } })).toMatchObject([{ path: `${at}.computed.title` }])
  })

  test('a setting given twice, once as unchecked', () => {
    expect(ofField({ content_type: 'card', unchecked: { content_type: 'x' } })).toMatchObject([
      { path: `${at}.fields.title.unchecked.content_type`, message: 'is set twice' },
    ])
  })

  test('an unchecked setting that is not JSON', () => {
    expect(ofField({ unchecked: { a: () => 1 } })).toMatchObject([{ message: 'has to be JSON' }])
  })

  test('functions that are none', () => {
    expect(ofProduct({ where: true })).toMatchObject([{ path: `${at}.where`, message: 'has to be a function' }])
    expect(ofProduct({ computed: { a: {} } })).toMatchObject([{ path: `${at}.computed.a.value` }])
    expect(ofProduct({ computed: { a: () => 1 } })).toMatchObject([
      { path: `${at}.computed.a`, message: 'has to be an object' },
    ])
  })

  test('ids of nothing, and ids that could be the same', () => {
    expect(ofProduct({ id: [] })).toMatchObject([{ path: `${at}.id`, message: 'names no field' }])
    expect(ofProduct({ id: [3] })).toMatchObject([{ path: `${at}.id[0]`, message: 'has to be the name of a field' }])
    expect(ofProduct({ id: { fields: ['id', 'title'], join: '' } })).toMatchObject([{ path: `${at}.id.join` }])
  })
})

describe('several mappings', () => {
  test('a table mapped twice to one namespace', () => {
    const one = { namespace: 'products', fields: { title: true } }
    expect(ofModels({ models: { Product: [one, { ...one, id: { prefix: 'x-' } }] } })).toMatchObject([
      { path: `${at}[1].namespace`, message: `${at}[0] sends the same table to "products" already` },
    ])
  })

  test.each([
    ['no prefix', undefined, undefined],
    ['one prefix', { prefix: 'a-' }, undefined],
    ['the same prefix', { prefix: 'a-' }, { prefix: 'a-' }],
    ['a prefix that begins with the other', { prefix: 'a' }, { prefix: 'ab' }],
  ])('two tables in one namespace with %s', (_, a, b) => {
    const models = {
      Seller: { namespace: 'all', id: a, fields: { name: true } },
      Product: { namespace: 'all', id: b, fields: { title: true } },
    }
    expect(ofModels({ models })).toMatchObject([
      { path: `${at}.namespace`, message: 'models.Seller is sent to "all" too, and the ids could be the same' },
    ])
  })

  test('a field of one namespace with two settings', () => {
    const models = {
      Seller: { namespace: 'all', id: { prefix: 's-' }, fields: { name: { field_limit: 1 } } },
      Product: { namespace: 'all', id: { prefix: 'p-' }, fields: { title: { as: 'name' } } },
    }
    expect(ofModels({ models })).toMatchObject([
      { path: at, message: 'field "name" of "all" has other settings in models.Seller' },
    ])
  })

  test('nothing mapped', () => {
    for (const models of [{}, undefined]) {
      expect(ofModels({ models })).toMatchObject([{ path: 'models', message: 'is empty: nothing would be sent' }])
    }
    expect(ofTables({ tables: {} })).toMatchObject([{ path: 'tables', message: 'is empty: nothing would be sent' }])
    expect(ofModels({ models: { Product: [] } })).toMatchObject([{ path: at, message: 'has no mapping' }])
    expect(ofModels({ models: [] })).toMatchObject([{ path: 'models', message: 'has to be an object' }])
    expect(ofModels({ models: { Product: 'products' } })).toMatchObject([{ path: at, message: 'has to be an object' }])
  })
})

describe('settings', () => {
  test.each(['Safetykit', 'a-b', 'a b', '', 'x'.repeat(64)])('the slot %j', (name) => {
    expect(ofModels({ slot: { name }, models: fine })).toEqual([
      {
        path: 'slot.name',
        message: 'has to be of 1 to 63 lower-case letters, digits and underscores',
        hint: undefined,
      },
    ])
  })

  test('names that Postgres would cut off', () => {
    const name = 'x'.repeat(64)
    expect(ofModels({ schema: name, publication: { name }, models: fine })).toMatchObject([
      { path: 'schema', message: 'has to be of 1 to 63 bytes' },
      { path: 'publication.name', message: 'has to be of 1 to 63 bytes' },
    ])
  })

  test('numbers', () => {
    const delivery = { maxBatchObjects: 0, maxBatchBytes: 1.5, maxBatchAgeMs: -1, maxConcurrency: '16' }
    expect(ofModels({ delivery, maxPendingBytes: 0, parking: { retryAfterMs: [-1] }, models: fine })).toEqual([
      { path: 'delivery.maxBatchObjects', message: 'has to be above 0', hint: undefined },
      { path: 'delivery.maxBatchBytes', message: 'has to be a whole number', hint: undefined },
      { path: 'delivery.maxBatchAgeMs', message: 'has to be 0 or more', hint: undefined },
      { path: 'delivery.maxConcurrency', message: 'has to be a number', hint: undefined },
      { path: 'parking.retryAfterMs[0]', message: 'has to be 0 or more', hint: undefined },
      { path: 'maxPendingBytes', message: 'has to be above 0', hint: undefined },
    ])
  })

  test('a ledger elsewhere, without replication', () => {
    const ledgerUrl = 'postgresql://me:secret@elsewhere/ledger'
    for (const capture of [undefined, 'trigger', 'client']) {
      expect(ofModels({ capture, ledgerUrl, models: fine })).toMatchObject([
        { path: 'ledgerUrl', hint: "leave it out, or set capture: 'replication'" },
      ])
    }
    expect(() =>
      defineSync(prisma, { capture: 'replication', ledgerUrl, models: { Seller: fine.Seller } as never }),
    ).not.toThrow()
  })

  test('a URL is never repeated, as it holds a password', () => {
    const run = () =>
      defineSync(prisma, { capture: 'replication', ledgerUrl: 'mysql://me:secret@h/d', models: fine } as never)
    expect(mistakesOf(run)).toMatchObject([{ path: 'ledgerUrl' }])
    expect(run).toThrow(expect.objectContaining({ message: expect.not.stringContaining('secret') }))
  })

  test('delivery inside the application, with replication', () => {
    expect(ofModels({ capture: 'replication', deliver: 'inline', models: fine })).toEqual([
      {
        path: 'deliver',
        message: "'inline' does not go with capture 'replication'",
        hint: 'leave it out: the sidecar delivers',
      },
    ])
  })
})

describe('the two forms', () => {
  const table = { namespace: 'products', fields: { title: true } }

  test.each([
    ['products', "write 'public.products'"],
    ['"Shop"."Product"', "write it without quotes: 'Shop.Product'"],
    ['.products', 'the first dot divides'],
    ['public.', 'the first dot divides'],
  ])('the table %s', (name, hint) => {
    const [mistake, ...others] = ofTables({ tables: { [name]: table } })
    expect(others).toEqual([])
    expect(mistake!.path).toContain('tables')
    expect(mistake!.hint).toContain(hint)
  })

  test('what needs a client', () => {
    expect(ofTables({ models: fine })).toMatchObject([{ message: 'needs the Prisma client' }])
    expect(ofTables({ capture: 'client', tables: { 'public.products': table } })).toMatchObject([{ path: 'capture' }])
    expect(ofTables({ deliver: 'inline', tables: { 'public.products': table } })).toMatchObject([{ path: 'deliver' }])
    expect(ofTables({ strict: true, tables: { 'public.products': table } })).toMatchObject([{ path: 'strict' }])
  })

  test('tables beside a client', () => {
    expect(ofModels({ tables: { 'public.products': table }, models: fine })).toMatchObject([
      { path: 'tables', message: 'there is no setting of this name' },
    ])
  })

  test('what is no client, and a client without a configuration', () => {
    expect(mistakesOf(() => defineSync({} as never, { models: fine } as never))).toMatchObject([
      { message: 'was not given a Prisma client' },
    ])
    expect(mistakesOf(() => defineSync(prisma as never))).toMatchObject([{ message: 'has to be an object' }])
    expect(mistakesOf(() => defineSync(undefined as never))).toMatchObject([{ message: 'has to be an object' }])
  })
})

test('every mistake is in one report, each with its place', () => {
  const run = () =>
    defineSync(prisma, {
      capture: 'wal',
      slot: { name: 'Bad' },
      ledgerUrl: 'postgresql://h/d',
      models: {
        Prodct: { namespace: 'a b', fields: { title: { content_type: 'image_ulr' } } },
        Product: [
          { namespace: 'products', fields: { titel: true, seller: true, tags: { field_limit: 0 } }, where: 1 },
          { namespace: 'bad space', id: 'sku', fields: { title: true, price: { as: 'title' } } },
        ],
      },
    } as never)
  const paths = mistakesOf(run).map(({ path }) => path)
  expect(paths).toEqual([
    'capture',
    'slot.name',
    'ledgerUrl',
    'models.Prodct',
    'models.Prodct.namespace',
    'models.Prodct.fields.title.content_type',
    'models.Product[0].where',
    'models.Product[0].fields.titel',
    'models.Product[0].fields.seller',
    'models.Product[0].fields.tags.field_limit',
    'models.Product[1].namespace',
    'models.Product[1].id',
    'models.Product[1].fields.price',
  ])
  expect(run).toThrow(ConfigError)
  expect(run).toThrow(/^The configuration has 13 mistakes:\n {2}capture: /)
  expect(run).toThrow(expect.objectContaining({ code: 'CONFIG_INVALID' }))
})
