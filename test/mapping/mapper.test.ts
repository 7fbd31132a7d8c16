import { describe, expect, test } from 'vitest'
import type { Cell } from '../../src/capture/change.js'
import { fingerprint } from '../../src/mapping/fingerprint.js'
import { compileTable } from '../../src/mapping/mapper.js'
import { idFromKey } from '../../src/mapping/mapping-plan.js'
import { tombstone } from '../../src/mapping/object.js'
import { mappingOf } from './mapping-of.js'
import { boundTo, cellsOf, map, oids, planOf, relation, row, types } from './products.js'

describe('a row', () => {
  test('becomes one line of JSON with its id first, and the fingerprint of that line', () => {
    const mapped = map({ fields: { title: { as: 'name' }, price: {}, meta: {} } })
    const json = '{"id":"7","name":"A \\"table\\"","price":12.5,"meta":{"a": 1}}'
    expect(mapped).toEqual({ kind: 'object', id: '7', json, fingerprint: fingerprint(json) })
  })

  test('has null where the column is null', () => {
    expect(map({ fields: ['title', 'price'] }, { ...row, title: null, price: null })).toMatchObject({
      json: '{"id":"7","title":null,"price":null}',
    })
  })

  test('is decoded only where it is mapped or part of the key, whatever the order of its columns', () => {
    const plan = planOf([{ table: 'products', fields: ['meta', 'title'] }])
    expect(plan.columns.map((index) => relation[index]!.name)).toEqual(['id', 'title', 'meta'])
    const turned = [...relation].reverse()
    const other = compileTable(boundTo([mappingOf({ table: 'products', fields: ['meta', 'title'] })]), turned, types)
    if (!other.fits) throw new Error('does not fit')
    const cells = other.columns.map((index) => (row as Record<string, Cell>)[turned[index]!.name])
    expect(other.mappings[0]!.map(cells)).toEqual(plan.mappings[0]!.map(cellsOf(plan, row)))
  })

  test('goes into each of its mappings in that mapping’s shape', () => {
    const plan = planOf([
      { table: 'products', namespace: 'a', fields: ['title'] },
      { table: 'products', namespace: 'b', fields: ['price'], id: { columns: ['slug'], prefix: 'p-' } },
    ])
    const jsons = plan.mappings.map((mapping) => mapping.map(cellsOf(plan, row)))
    expect(jsons).toMatchObject([
      { json: '{"id":"7","title":"A \\"table\\""}' },
      { json: '{"id":"p-a-table","price":12.5}' },
    ])
    expect(plan.key(cellsOf(plan, row))).toEqual({ id: '7', slug: 'a-table' })
  })
})

describe('the id', () => {
  const words = { table: 'products', fields: ['title'], id: { join: '/', prefix: 'p:' } }

  test('of several columns is joined in the key’s order, with the prefix before it', () => {
    const plan = planOf([words], ['slug', 'id'])
    expect(plan.mappings[0]!.map(cellsOf(plan, row))).toMatchObject({ id: 'p:a-table/7' })
    expect(plan.key(cellsOf(plan, row))).toEqual({ slug: 'a-table', id: '7' })
  })

  test('is known from an old row that has its identity only, and from a key', () => {
    const plan = planOf([words], ['slug', 'id'])
    expect(plan.mappings[0]!.id(cellsOf(plan, { id: '7', slug: 'a-table' }))).toBe('p:a-table/7')
    expect(plan.mappings[0]!.id(cellsOf(plan, { id: '7' }))).toBeUndefined()
    expect(plan.key(cellsOf(plan, { id: '7' }))).toEqual({ id: '7' })
    expect(idFromKey(mappingOf(words), ['slug', 'id'], { id: '7', slug: 'a-table' })).toBe('p:a-table/7')
    expect(idFromKey(mappingOf(words), ['slug', 'id'], { id: '7' })).toBeUndefined()
  })

  test('cannot be null: such a row is refused without the id that it does not have', () => {
    const mapped = map({ fields: ['title'], id: { columns: ['slug'] } }, { ...row, slug: null })
    expect(mapped).toMatchObject({ kind: 'invalid', id: undefined, error: { code: 'OBJECT_INVALID' } })
  })
})

describe('an unchanged TOAST value', () => {
  test('makes the row incomplete for the mappings that read it, and for no other', () => {
    const plan = planOf([
      { table: 'products', namespace: 'a', fields: ['title', 'meta'] },
      { table: 'products', namespace: 'b', fields: ['title'] },
      { table: 'products', namespace: 'c', fields: ['meta'], where: () => true },
    ])
    const mapped = plan.mappings.map((mapping) => mapping.map(cellsOf(plan, { ...row, meta: undefined })))
    expect(mapped).toMatchObject([{ kind: 'incomplete', id: '7' }, { kind: 'object' }, { kind: 'incomplete', id: '7' }])
  })

  test('in an id column leaves the id unknown', () => {
    const mapped = map({ fields: ['title'], id: { columns: ['slug'] } }, { ...row, slug: undefined })
    expect(mapped).toEqual({ kind: 'incomplete', id: undefined })
  })
})

describe('a relation that does not fit', () => {
  test('says which mapped and key columns it lacks, and which types are not known', () => {
    const bound = boundTo([mappingOf({ table: 'products', fields: ['title', 'price'], id: { columns: ['slug'] } })])
    const columns = [
      { name: 'id', typeOid: oids.int4 },
      { name: 'price', typeOid: oids.mood },
      { name: 'secret', typeOid: oids.mood },
    ]
    expect(compileTable(bound, columns, types)).toEqual({
      fits: false,
      missing: ['slug', 'title'],
      unknownTypes: ['price'],
    })
  })
})

test('a tombstone says that the object is deleted, and nothing else', () => {
  const { id, json, fingerprint: print } = tombstone('a"b')
  expect({ id, json }).toEqual({ id: 'a"b', json: '{"id":"a\\"b","deleted":true}' })
  expect(print).toBe(fingerprint(json))
})

test('a fingerprint is short, and differs with the content', () => {
  expect(fingerprint('{"id":"1"}')).toMatch(/^[\w-]{22}$/)
  expect(fingerprint('{"id":"1"}')).toBe(fingerprint('{"id":"1"}'))
  expect(fingerprint('{"id":"1"}')).not.toBe(fingerprint('{"id":"2"}'))
})
