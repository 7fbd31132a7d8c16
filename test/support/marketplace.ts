import type { PrismaClient } from '../../prisma/generated/client/client.js'
import type { SyncOptions } from '../../src/config/input.js'
import { defineSync } from '../../src/sync.js'

export interface MarketplaceOptions extends SyncOptions {
  readonly capture?: 'trigger' | 'client'
  readonly deliver?: 'inline' | 'sidecar'
  readonly strict?: boolean
}

/** A mapping of the marketplace whose objects Postgres itself can write down: {@link expectedObjects}. */
export function marketplaceSync(prisma: PrismaClient, options: MarketplaceOptions = {}) {
  return defineSync(prisma, {
    ...options,
    models: {
      Seller: { namespace: 'sellers', fields: { name: true, verified: true }, onDelete: 'tombstone' },
      Product: {
        namespace: 'products',
        fields: { title: true, status: true, sellerId: { as: 'seller_id', namespace_ref: 'sellers' } },
        onDelete: 'tombstone',
      },
      Review: { namespace: 'reviews', fields: { text: true, stars: true }, onDelete: 'tombstone' },
      OrderLine: { namespace: 'order_lines', fields: { quantity: true, note: true }, onDelete: 'tombstone' },
    },
  })
}

/** For each namespace, a query for the objects that SafetyKit has to have. */
export const expectedObjects: Readonly<Record<string, string>> = {
  sellers: `SELECT json_build_object('id', id::text, 'name', name, 'verified', verified) AS object FROM "Seller"`,
  products: `SELECT json_build_object('id', id, 'title', title, 'status', status, 'seller_id', "sellerId") AS object
    FROM "Product"`,
  reviews: `SELECT json_build_object('id', review_id::text, 'text', review_text, 'stars', stars) AS object
    FROM product_reviews`,
  order_lines: `SELECT json_build_object('id', "orderId" || ':' || line, 'quantity', quantity, 'note', note) AS object
    FROM "OrderLine"`,
}
