import { expect, test } from 'vitest'
import type { MappedRow } from '../../src/config/resolved.js'
import { map, row } from './products.js'

test('see the row under the user’s names, with the values that are sent', () => {
  const seen: MappedRow[] = []
  map({
    fields: { title: { property: 'headline', as: 'name' }, price: { as: 'cost' }, meta: {} },
    where: (given) => seen.push(given) > 0,
  })
  expect(seen).toEqual([{ headline: 'A "table"', price: 12.5, meta: { a: 1 } }])
})

test('where decides whether the row is sent', () => {
  const where = (given: MappedRow) => Number(given.price) > 10
  expect(map({ fields: ['price'], where })).toMatchObject({ kind: 'object' })
  expect(map({ fields: ['price'], where }, { ...row, price: '3' })).toEqual({ kind: 'excluded', id: '7' })
})

test('computed fields stand behind the mapped ones; undefined leaves one out', () => {
  const mapped = map({
    fields: ['price'],
    computed: {
      label: (given) => `${given.price} €\n`,
      none: () => undefined,
      nothing: () => null,
      nested: () => ({ a: [1, { b: true, c: undefined }], ...JSON.parse('{"then":-0.5}'), '"e"': 'x' }),
      empty: () => Object.create(null) as unknown,
    },
  })
  expect(mapped).toMatchObject({
    json: '{"id":"7","price":12.5,"label":"12.5 €\\n","nothing":null,"nested":{"a":[1,{"b":true}],"then":-0.5,"\\"e\\"":"x"},"empty":{}}',
  })
})

test('what one function does to its row does not reach the next', () => {
  const mapped = map({
    fields: ['meta'],
    where: (given) => delete (given as Record<string, unknown>).meta,
    computed: {
      first: (given) => Object.assign(given.meta as object, { a: 2 }),
      second: (given) => given.meta,
    },
  })
  expect(mapped).toMatchObject({ json: '{"id":"7","meta":{"a": 1},"first":{"a":2},"second":{"a":1}}' })
})

class Money {
  constructor(readonly amount: number) {}
}
const circle: { self?: unknown } = {}
circle.self = [circle]

test.each<[string, unknown, RegExp, RegExp]>([
  ['a bigint', 5n, /gave a bigint/, /toString/],
  ['NaN', Number.NaN, /gave NaN/, /finite/],
  ['an infinity inside', { a: [Number.POSITIVE_INFINITY] }, /gave Infinity/, /finite/],
  ['a function', () => 1, /gave a function/, /return a string/],
  ['a symbol', Symbol('s3cret'), /gave a symbol/, /return a string/],
  ['a date', new Date(), /gave a Date/, /toISOString/],
  ['an invalid date', new Date(Number.NaN), /gave a Date/, /toISOString/],
  ['a map', new Map(), /gave a Map/, /plain object/],
  ['an instance', new Money(1), /gave a Money/, /plain object/],
  ['a circle', circle, /holds itself/, /circles/],
  ['undefined in an array', [undefined], /undefined inside an array/, /return a string/],
  ['a hole', new Array(2), /undefined inside an array/, /return a string/],
  ['a promise', Promise.resolve(1), /gave a promise/, /synchronous/],
  ['promises inside', [{ a: [Promise.resolve(1)] }], /gave a promise/, /synchronous/],
])('%s is no JSON: the object is refused, and told what to return', (_, value, message, hint) => {
  const mapped = map({ path: 'models.Product', fields: ['title'], computed: { extra: () => value } })
  expect(mapped).toMatchObject({ kind: 'invalid', id: '7', error: { code: 'OBJECT_INVALID', retryable: false } })
  if (mapped.kind !== 'invalid') return
  expect(mapped.error.message).toMatch(/^models\.Product\.computed\.extra /)
  expect(mapped.error.message).toMatch(message)
  expect(mapped.error.hint).toMatch(hint)
})

test('a rejected promise harms nothing but its object', async () => {
  const rejected = async () => {
    throw new Error('rejected')
  }
  const fields = ['title']
  expect(map({ fields, computed: { x: rejected } })).toMatchObject({ kind: 'invalid' })
  expect(map({ fields, computed: { x: () => [rejected(), rejected()] } })).toMatchObject({ kind: 'invalid' })
  expect(map({ fields, where: rejected as unknown as () => boolean })).toMatchObject({ kind: 'invalid' })
  // An unhandled rejection would fail this file.
  await new Promise((resolve) => setImmediate(resolve))
})

test('a value that is used twice without a circle is fine', () => {
  const shared = { a: 1 }
  expect(map({ fields: [], computed: { twice: () => [shared, shared] } })).toMatchObject({
    json: '{"id":"7","twice":[{"a":1},{"a":1}]}',
  })
})

test.each<[string, (row: MappedRow) => unknown]>([
  ['where', (given) => given.title],
  ['where', () => undefined],
  ['where', () => Promise.resolve(true)],
])('%s that says neither true nor false refuses the object instead of leaving it out', (_, where) => {
  expect(map({ fields: ['title'], where: where as (row: MappedRow) => boolean })).toMatchObject({
    kind: 'invalid',
    id: '7',
  })
})

test('an error names the field and the class of what was thrown, and nothing of the row', () => {
  class OddError extends RangeError {}
  const throwing = (given: MappedRow): never => {
    throw Object.assign(new OddError(`bad: ${given.title}`), { name: String(given.title) })
  }
  const throwsText = (given: MappedRow): never => {
    throw given.title
  }
  const getter = {
    get inner(): never {
      throw new Error(row.title)
    },
  }
  const results = [
    map({ path: 'models.P', fields: ['title'], computed: { x: throwing } }),
    map({ path: 'models.P', fields: ['title'], computed: { x: throwsText } }),
    map({ path: 'models.P', fields: ['title'], where: throwing }),
    map({ path: 'models.P', fields: ['title'], computed: { x: () => getter } }),
  ]
  const errors = results.map((mapped) => (mapped.kind === 'invalid' ? mapped.error : undefined))
  expect(errors.map((error) => error?.message)).toEqual([
    'models.P.computed.x threw (OddError)',
    'models.P.computed.x threw (string)',
    'models.P.where threw (OddError)',
    'models.P.computed.x gave a value that cannot be read (Error)',
  ])
  for (const error of errors) {
    expect(error?.cause).toBeUndefined()
    expect(JSON.stringify([error?.message, error?.hint, error?.stack])).not.toContain('A \\"table')
  }
})
