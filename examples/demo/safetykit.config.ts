// What an application writes: which models go into which SafetyKit namespaces.
import { defineSync } from 'prisma-extension-safetykit'
import { prisma } from './db.js'

export default defineSync(prisma, {
  capture: 'replication',
  models: {
    Seller: {
      namespace: 'sellers',
      fields: {
        name: { display_hint: { type: 'title' } },
        bio: { display_hint: { type: 'description' } },
        verified: true,
      },
    },
    Product: {
      namespace: 'products',
      fields: {
        title: { display_hint: { type: 'title' } },
        description: { display_hint: { type: 'description' } },
        price: true,
        status: true,
        tags: true,
        sellerId: { as: 'seller_id', namespace_ref: 'sellers' },
      },
      // A draft is nobody's business yet.
      where: (row) => row.status !== 'DRAFT',
    },
    ProductImage: {
      namespace: 'product_images',
      fields: {
        url: { content_type: 'image_url', display_hint: { type: 'primary_image_url' } },
        productId: { as: 'product_id', namespace_ref: 'products' },
      },
    },
    Message: {
      namespace: 'messages',
      fields: {
        body: { display_hint: { type: 'compact_text' } },
        senderId: { as: 'sender_id', namespace_ref: 'sellers' },
        recipientId: { as: 'recipient_id', namespace_ref: 'sellers' },
        sentAt: { as: 'sent_at', content_type: 'datetime' },
      },
    },
  },
})
