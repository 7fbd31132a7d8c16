// Checked by the compiler (npm run typecheck), never run: each expected error is one that a user has to see.
import { expectTypeOf } from 'vitest'
import type { PrismaClient } from '../../prisma/generated/client/client.js'
import { defineSync, type Json } from '../../src/index.js'

declare const prisma: PrismaClient

// The row holds the mapped fields, with the JSON types of their values.
defineSync(prisma, {
  capture: 'replication',
  models: {
    Seller: {
      namespace: 'sellers',
      fields: {
        name: true,
        bio: true,
        verified: true,
        rating: true,
        lifetimeCents: true,
        avatar: true,
        createdAt: true,
      },
      where: (row) => {
        expectTypeOf(row).toEqualTypeOf<{
          readonly name: string
          readonly bio: string | null
          readonly verified: boolean
          readonly rating: number | null
          readonly lifetimeCents: number | string
          readonly avatar: string | null
          readonly createdAt: string
        }>()
        return row.verified
      },
    },
    Product: {
      namespace: 'products',
      id: 'id',
      fields: {
        title: { display_hint: { type: 'title' }, field_limit: 200 },
        price: true,
        tags: { as: 'keywords' },
        attributes: { content_type: 'metadata' },
        currency: true,
        sellerId: { as: 'seller_id', namespace_ref: 'sellers', unchecked: { later: { deep: [1] } } },
      },
      computed: {
        headline: {
          display_hint: { type: 'subtitle', name: 'Headline', order: 2 },
          value: (row) => {
            expectTypeOf(row.title).toEqualTypeOf<string>()
            expectTypeOf(row.price).toEqualTypeOf<number | string>()
            expectTypeOf(row.tags).toEqualTypeOf<readonly string[]>()
            expectTypeOf(row.attributes).toEqualTypeOf<Json>()
            expectTypeOf(row.currency).extract<'EUR'>().toEqualTypeOf<'EUR'>()
            // @ts-expect-error viewCount is not mapped, so that it is not read
            row.viewCount
            return { of: row.title, tags: row.tags }
          },
        },
      },
    },
    OrderLine: { namespace: 'lines', id: { fields: ['orderId', 'line'], join: '/' }, fields: { quantity: true } },
    Report: {
      namespace: 'reports',
      fields: { reason: true, evidence: true },
      // The database's word for the value, which an @map makes another one than Prisma's, has to be comparable.
      where: (row) => row.reason !== 'unsafe-item' && row.evidence !== null,
    },
  },
})

// Each mapping of an array has a row of its own.
defineSync(prisma, {
  models: {
    Seller: [
      { namespace: 'sellers', fields: { name: true }, where: (row) => row.name !== '' },
      {
        namespace: 'seller-bios',
        fields: { bio: true },
        where: (row) => {
          expectTypeOf(row).toEqualTypeOf<{ readonly bio: string | null }>()
          return true
        },
      },
    ],
  },
})

// Names of models.
defineSync(prisma, {
  models: {
    // @ts-expect-error there is no such model
    Prodct: { namespace: 'products', fields: { title: true } },
  },
})
defineSync(prisma, {
  models: {
    Seller: { namespace: 'sellers', fields: { name: true } },
    // @ts-expect-error there is no such model, beside one that there is
    Prodct: { namespace: 'products', fields: { title: true } },
  },
})
// @ts-expect-error the client's property for a model is not the model's name
defineSync(prisma, { models: { product: { namespace: 'products', fields: { title: true } } } })

// Names of fields.
defineSync(prisma, {
  models: {
    Product: {
      namespace: 'products',
      fields: {
        title: true,
        // @ts-expect-error there is no such field
        titel: true,
        // @ts-expect-error a relation is not a field with a column
        images: true,
      },
    },
    Seller: [
      { namespace: 'sellers', fields: { name: true } },
      {
        namespace: 'others',
        fields: {
          // @ts-expect-error there is no such field, in an array of mappings
          nmae: true,
        },
      },
    ],
  },
})
// @ts-expect-error there is no such field to make an id of
defineSync(prisma, { models: { Product: { namespace: 'p', id: 'idd', fields: { title: true } } } })
// @ts-expect-error there is no such field to make an id of, among several
defineSync(prisma, { models: { Product: { namespace: 'p', id: ['id', 'x'], fields: { title: true } } } })

// Settings and their values.
defineSync(prisma, {
  models: {
    Product: {
      namespace: 'products',
      fields: {
        // @ts-expect-error there is no such setting
        title: { content_typ: 'image_url' },
        // @ts-expect-error there is no such content type
        description: { content_type: 'hologram_url' },
        // @ts-expect-error there is no such hint
        price: { display_hint: { type: 'titel' } },
        // @ts-expect-error there is no such setting of a hint
        currency: { display_hint: { type: 'title', size: 3 } },
        // @ts-expect-error a limit is a number
        tags: { field_limit: '3' },
      },
    },
  },
})
// @ts-expect-error a field that is not sent is left out
defineSync(prisma, { models: { Product: { namespace: 'products', fields: { title: false } } } })
// @ts-expect-error there is no such setting of a mapping
defineSync(prisma, { models: { Product: { namespace: 'products', fields: { title: true }, ondelete: 'ignore' } } })
// @ts-expect-error the namespace is missing
defineSync(prisma, { models: { Product: { fields: { title: true } } } })
// @ts-expect-error there is no such way to capture
defineSync(prisma, { capture: 'wal', models: { Product: { namespace: 'products', fields: { title: true } } } })
// @ts-expect-error tables are for the form without a client
defineSync(prisma, { tables: { 'public.Product': { namespace: 'products', fields: { title: true } } } })
// @ts-expect-error the models are missing
defineSync(prisma, { capture: 'replication' })

// What the functions give.
defineSync(prisma, {
  models: {
    Product: {
      namespace: 'products',
      fields: { title: true },
      // @ts-expect-error a date is not JSON
      computed: { at: { value: () => new Date() } },
    },
    Seller: {
      namespace: 'sellers',
      fields: { name: true },
      // @ts-expect-error a predicate answers at once
      where: async (row) => row.name !== '',
    },
  },
})
