// The form without Prisma: checked by the compiler, never run.
import { expectTypeOf } from 'vitest'
import { defineSync, type Json, type Sync } from '../../src/index.js'

const sync = defineSync({
  capture: 'replication',
  ledgerUrl: 'postgresql://elsewhere/ledger',
  tables: {
    'public.products': {
      namespace: 'products',
      id: ['shop', 'sku'],
      fields: { title: { display_hint: { type: 'title' } }, seller_id: { as: 'seller', namespace_ref: 'sellers' } },
      where: (row) => {
        expectTypeOf(row).toEqualTypeOf<{ readonly title: Json; readonly seller_id: Json }>()
        return row.title !== null
      },
      computed: {
        upper: {
          value: (row) => String(row.title).toUpperCase(),
        },
        secret: {
          // @ts-expect-error a column that is not mapped is not read
          value: (row) => row.password,
        },
      },
    },
    'Shop.Product': [
      { namespace: 'shop', fields: { Title: true } },
      { namespace: 'shop-2', fields: { Price: true }, where: (row) => Number(row.Price) > 0 },
    ],
  },
})
expectTypeOf(sync).toEqualTypeOf<Sync>()

defineSync({
  tables: {
    // @ts-expect-error a table is named with its schema
    products: { namespace: 'products', fields: { title: true } },
  },
})
// @ts-expect-error the query hook needs a Prisma client
defineSync({ capture: 'client', tables: { 'public.products': { namespace: 'products', fields: { title: true } } } })
// @ts-expect-error models need a Prisma client
defineSync({ models: { Product: { namespace: 'products', fields: { title: true } } } })
defineSync({
  tables: {
    'public.products': {
      namespace: 'products',
      // @ts-expect-error there is no such content type
      fields: { title: { content_type: 'image' } },
    },
  },
})
