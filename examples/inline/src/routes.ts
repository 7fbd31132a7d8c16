import { randomUUID } from 'node:crypto'
import { z } from 'zod'
import type { Routes } from '../../http.js'
import { db } from './db.js'

const newProduct = z.object({
  title: z.string().min(1),
  description: z.string().exactOptional(),
  price: z.number().positive(),
  seller: z.object({ name: z.string().min(1), email: z.email() }),
  images: z.array(z.url()).default([]),
})

const changes = z.strictObject({
  title: z.string().min(1).exactOptional(),
  description: z.string().exactOptional(),
  price: z.number().positive().exactOptional(),
})

const order = z.object({
  items: z.array(z.object({ productId: z.uuid(), quantity: z.int().positive().default(1) })).min(1),
})

const shown = { id: true, title: true, price: true, status: true } as const

export const routes: Routes = {
  // A nested write into three tables. SafetyKit gets the rows of all three.
  'POST /products': ({ body }) => {
    const { seller, images, ...product } = newProduct.parse(body)
    return db.product.create({
      data: {
        ...product,
        status: 'ACTIVE',
        seller: { connectOrCreate: { where: { email: seller.email }, create: seller } },
        images: { create: images.map((url, position) => ({ url, position })) },
      },
      select: shown,
    })
  },

  'PATCH /products/:id': ({ id, body }) =>
    db.product.update({ where: { id }, data: changes.parse(body), select: shown }),

  // Counts the view. That column is not mapped, so SafetyKit is sent nothing.
  'GET /products/:id': ({ id }) =>
    db.product.update({
      where: { id },
      data: { viewCount: { increment: 1 } },
      select: { ...shown, viewCount: true, images: { select: { url: true } } },
    }),

  // What SafetyKit has of it, and under which request; null: nothing (yet).
  'GET /products/:id/safetykit': ({ id }) => db.$safetykit.status('Product', id),

  // Every request that ever held it, the newest first.
  'GET /products/:id/safetykit/requests': ({ id }) => db.$safetykit.requests('Product', id),

  // An interactive transaction with nested writes: all of it is sent once it is committed, or nothing.
  'POST /checkout': ({ body }) => {
    const { items } = order.parse(body)
    const orderId = randomUUID()
    return db.$transaction(async (tx) => {
      for (const [index, { productId, quantity }] of items.entries()) {
        const forSale = { id: productId, status: 'ACTIVE' } as const
        const { price } = await tx.product.findUniqueOrThrow({ where: forSale })
        await tx.product.update({
          where: forSale,
          data: {
            status: 'SOLD',
            orderLines: { create: { orderId, line: index + 1, quantity, unitPrice: price } },
          },
        })
      }
      return { orderId, lines: items.length }
    })
  },
}
