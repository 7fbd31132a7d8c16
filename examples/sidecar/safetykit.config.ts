// Which models go into which SafetyKit namespaces. The sidecar reads their changes from the write-ahead log, so the
// application is not involved in it; of the mapped tables, only the columns below leave the database.
import { defineSync } from 'prisma-extension-safetykit'
import { prisma } from './src/prisma.js'

export default defineSync(prisma, {
  capture: 'replication',
  publication: { columns: 'mapped' },
  models: {
    Seller: {
      namespace: 'sellers',
      fields: { name: { display_hint: { type: 'title' } } },
    },
    Product: {
      namespace: 'products',
      fields: {
        title: { display_hint: { type: 'title' } },
        price: true,
        status: true,
        sellerId: { as: 'seller_id', namespace_ref: 'sellers' },
      },
    },
    // Its table and its columns have names of their own (@@map, @map), which the mapping need not know.
    Review: {
      namespace: 'reviews',
      fields: {
        text: { display_hint: { type: 'description' } },
        stars: true,
        productId: { as: 'product_id', namespace_ref: 'products' },
        authorId: { as: 'author_id', namespace_ref: 'sellers' },
        writtenAt: { as: 'written_at', content_type: 'datetime' },
      },
      onDelete: 'tombstone',
    },
  },
})
