// Clients that were extended, of both generators: checked by the compiler, never run.
import { expectTypeOf } from 'vitest'
import type { PrismaClient } from '../../prisma/generated/client/client.js'
import type { PrismaClient as PrismaClientJs } from '../../prisma/generated/client-js/index.js'
import { defineSync, type Models } from '../../src/index.js'

const extend = (prisma: PrismaClient) =>
  prisma
    .$extends({
      result: {
        product: {
          headline: { needs: { title: true }, compute: (product) => product.title.toUpperCase() },
          price: { needs: { price: true }, compute: (product) => Number(product.price) },
        },
      },
    })
    .$extends({ model: { $allModels: { exists: async () => true } }, client: { $now: () => new Date() } })
    .$extends({ query: { product: { findMany: ({ args, query }) => query(args) } } })

const extendJs = (prisma: PrismaClientJs) =>
  prisma.$extends({
    result: { product: { headline: { needs: { title: true }, compute: (product) => product.title.length } } },
    model: { product: { exists: async () => true } },
  })

declare const extended: ReturnType<typeof extend>
declare const extendedJs: ReturnType<typeof extendJs>

// Neither the client's own methods nor anything that is not a model counts as one, and no model is lost.
type ModelNames = 'Seller' | 'Product' | 'ProductImage' | 'Message' | 'Review' | 'OrderLine' | 'Report'
expectTypeOf<keyof Models<typeof extended>>().toEqualTypeOf<ModelNames>()
expectTypeOf<keyof Models<typeof extendedJs>>().toEqualTypeOf<ModelNames>()

defineSync(extended, {
  models: {
    Product: {
      namespace: 'products',
      fields: { title: true, price: true, description: true },
      where: (row) => {
        // Of the column, not of the result extension that shows another type to the application.
        expectTypeOf(row.price).toEqualTypeOf<number | string>()
        expectTypeOf(row.description).toEqualTypeOf<string | null>()
        return row.title !== ''
      },
    },
  },
})
defineSync(extendedJs, { models: { Product: { namespace: 'products', fields: { title: true, price: true } } } })

// @ts-expect-error a field of a result extension has no column
defineSync(extended, { models: { Product: { namespace: 'products', fields: { title: true, headline: true } } } })
// @ts-expect-error a field of a result extension has no column
defineSync(extendedJs, { models: { Product: { namespace: 'products', fields: { title: true, headline: true } } } })
// @ts-expect-error there is no such model
defineSync(extended, { models: { Prodct: { namespace: 'products', fields: { title: true } } } })
// @ts-expect-error there is no such model
defineSync(extendedJs, { models: { Prodct: { namespace: 'products', fields: { title: true } } } })
