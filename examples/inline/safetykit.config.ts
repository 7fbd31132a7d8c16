// Which models go into which SafetyKit namespaces. Triggers note the changed rows, and the application delivers them
// itself: `capture: 'trigger'` and `deliver: 'inline'` are the defaults, written down for those who read this.
import { defineSync } from 'prisma-extension-safetykit'
import { prisma } from './src/prisma.js'

export default defineSync(prisma, {
  capture: 'trigger',
  deliver: 'inline',
  models: {
    Seller: {
      namespace: 'sellers',
      fields: {
        name: { display_hint: { type: 'title' } },
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
        sellerId: { as: 'seller_id', namespace_ref: 'sellers' },
      },
    },
    ProductImage: {
      namespace: 'product_images',
      fields: {
        url: { content_type: 'image_url', display_hint: { type: 'primary_image_url' } },
        productId: { as: 'product_id', namespace_ref: 'products' },
      },
    },
    // Its key is made of two columns, so its id is `<orderId>:<line>`.
    OrderLine: {
      namespace: 'order_lines',
      fields: {
        productId: { as: 'product_id', namespace_ref: 'products' },
        quantity: true,
        unitPrice: { as: 'unit_price' },
      },
    },
  },
})
