// The older generator: checked by the compiler, never run.
import { expectTypeOf } from 'vitest'
import type { PrismaClient } from '../../prisma/generated/client-js/index.js'
import { defineSync, type Json, type Models } from '../../src/index.js'

declare const prisma: PrismaClient

expectTypeOf<keyof Models<PrismaClient>>().toEqualTypeOf<
  'Seller' | 'Product' | 'ProductImage' | 'Message' | 'Review' | 'OrderLine' | 'Report'
>()

defineSync(prisma, {
  models: {
    Product: {
      namespace: 'products',
      fields: { title: true, description: true, price: true, tags: true, attributes: true, createdAt: true },
      where: (row) => {
        expectTypeOf(row).toEqualTypeOf<{
          readonly title: string
          readonly description: string | null
          readonly price: number | string
          readonly tags: readonly string[]
          readonly attributes: Json
          readonly createdAt: string
        }>()
        return true
      },
    },
  },
})

defineSync(prisma, {
  models: {
    // @ts-expect-error there is no such model
    Prodct: { namespace: 'products', fields: { title: true } },
  },
})
// @ts-expect-error there is no such field
defineSync(prisma, { models: { Product: { namespace: 'products', fields: { titel: true } } } })
// @ts-expect-error there is no such setting
defineSync(prisma, { models: { Product: { namespace: 'products', fields: { title: { ass: 'name' } } } } })
