import { expect, test } from 'vitest'
import { ConfigError } from '../../src/errors.js'
import { namespaceSchemas } from '../../src/mapping/settings.js'
import { mappingOf } from './mapping-of.js'

const title = { settings: { display_hint: { type: 'title', order: 1 } } }

test('every field that is sent is in the schema, under the name under which it is sent', () => {
  const mapping = mappingOf({
    table: 'products',
    namespace: 'products',
    fields: { title, price: {}, seller_id: { as: 'seller', settings: { namespace_ref: 'sellers' } } },
    computed: { label: () => 'x' },
    computedSettings: { content_type: 'metadata' },
  })
  expect(namespaceSchemas([mapping])).toEqual([
    {
      namespace: 'products',
      schema: {
        title: { display_hint: { type: 'title', order: 1 } },
        price: {},
        seller: { namespace_ref: 'sellers' },
        label: { content_type: 'metadata' },
      },
      fingerprint: expect.stringMatching(/^[\w-]{22}$/),
    },
  ])
})

test('the fingerprint is the same in whatever order the schema is written, and another when it says something else', () => {
  const print = (fields: Parameters<typeof mappingOf>[0]['fields']) =>
    namespaceSchemas([mappingOf({ table: 'products', fields })])[0]!.fingerprint
  const a = print({ title: { settings: { display_hint: { type: 'title', order: 1 }, field_limit: 9 } }, price: {} })
  const b = print({ price: {}, title: { settings: { field_limit: 9, display_hint: { order: 1, type: 'title' } } } })
  expect(b).toBe(a)
  expect(
    print({ price: {}, title: { settings: { field_limit: 8, display_hint: { order: 1, type: 'title' } } } }),
  ).not.toBe(a)
  expect(print({ title: { settings: { display_hint: { type: 'title', order: 1 }, field_limit: 9 } } })).not.toBe(a)
})

test('two mappings into one namespace share its schema', () => {
  const schemas = namespaceSchemas([
    mappingOf({ table: 'a', namespace: 'one', fields: { title, body: {} } }),
    mappingOf({ table: 'c', namespace: 'two', fields: {} }),
    mappingOf({ table: 'b', namespace: 'one', fields: { title, body: { settings: { field_limit: 5 } } } }),
  ])
  expect(schemas.map(({ namespace, schema }) => [namespace, schema])).toEqual([
    ['one', { title: title.settings, body: { field_limit: 5 } }],
    ['two', {}],
  ])
})

test('two mappings that say different things of one field are all told', () => {
  const one = mappingOf({
    table: 'a',
    path: 'models.A',
    fields: { x: { settings: { field_limit: 1, content_type: 'metadata' } } },
  })
  const two = mappingOf({
    table: 'b',
    path: 'models.B',
    fields: { y: { as: 'x', settings: { field_limit: 2, content_type: 'datetime' } } },
  })
  try {
    namespaceSchemas([one, two])
    expect.unreachable()
  } catch (error) {
    expect(error).toBeInstanceOf(ConfigError)
    expect((error as ConfigError).mistakes.map(({ path, message }) => `${path}: ${message}`)).toEqual([
      'models.B.fields.y: field_limit is 2 here and 1 in models.A.fields.x, both for the namespace things',
      'models.B.fields.y: content_type is "datetime" here and "metadata" in models.A.fields.x, both for the namespace things',
    ])
  }
})
