import { expect, test } from 'vitest'
import { selectSources } from '../../src/pipeline/selected-sources.js'
import type { Source } from '../../src/pipeline/sources.js'

const source = (schema: string, name: string, ...paths: string[]) =>
  ({
    name: `${schema}.${name}`,
    bound: { source: `${schema}.${name}`, table: { name } },
    targets: paths.map((path) => ({ mapping: { path, table: { schema, name } } })),
  }) as unknown as Source

const products = source('public', 'products', 'models.Product[0]', 'models.Product[1]')
const sellers = source('public', 'sellers', 'models.Seller')
const shopSellers = source('shop', 'sellers', 'tables["shop.sellers"]')
const all = [products, sellers, shopSellers]

test('without names all tables are selected, with names those', () => {
  expect(selectSources({ all })).toEqual(all)
  expect(selectSources({ all }, { models: ['Product'] })).toEqual([products])
  expect(selectSources({ all }, { tables: ['products', 'shop.sellers'] })).toEqual([products, shopSellers])
  expect(selectSources({ all }, { models: ['Seller'], tables: ['public.sellers'] })).toEqual([sellers])
})

test('a name that nothing has, or that several have, is refused', () => {
  expect(() => selectSources({ all }, { models: ['Prodct'] })).toThrow(
    expect.objectContaining({ code: 'ARGUMENT_INVALID', hint: 'Did you mean Product?' }),
  )
  expect(() => selectSources({ all }, { tables: ['nothing.like.it'] })).toThrow(
    expect.objectContaining({ hint: 'Mapped are: public.products, public.sellers, shop.sellers' }),
  )
  expect(() => selectSources({ all }, { tables: ['sellers'] })).toThrow(
    expect.objectContaining({ hint: 'Name it with its schema: public.sellers, shop.sellers' }),
  )
})
