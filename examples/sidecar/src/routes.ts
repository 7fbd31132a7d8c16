import { z } from 'zod'
import type { Routes } from '../../http.js'
import { db } from './db.js'

const person = z.object({ name: z.string().min(1), email: z.email() })
const newProduct = z.object({ title: z.string().min(1), price: z.number().positive(), seller: person })
const newReview = z.object({ author: person, stars: z.int().min(1).max(5), text: z.string() })
const changes = z.strictObject({
  title: z.string().min(1).exactOptional(),
  price: z.number().positive().exactOptional(),
})

const knownOrNew = (one: z.infer<typeof person>) => ({ connectOrCreate: { where: { email: one.email }, create: one } })

const shown = { id: true, title: true, price: true, status: true } as const

export const routes: Routes = {
  'POST /products': ({ body }) => {
    const { seller, ...product } = newProduct.parse(body)
    return db.product.create({
      data: { ...product, status: 'ACTIVE', seller: knownOrNew(seller) },
      select: shown,
    })
  },

  'PATCH /products/:id': ({ id, body }) =>
    db.product.update({ where: { id }, data: changes.parse(body), select: shown }),

  // A nested write, three levels deep.
  'POST /products/:id/reviews': ({ id, body }) => {
    const { author, ...review } = newReview.parse(body)
    return db.product.update({
      where: { id },
      data: { reviews: { create: { ...review, author: knownOrNew(author) } } },
      select: { ...shown, reviews: { select: { id: true, text: true } } },
    })
  },

  // Reviews that SafetyKit has. One question for all of them.
  'GET /products/:id/reviews': async ({ id }) => {
    const reviews = await db.review.findMany({ where: { productId: id }, orderBy: { id: 'asc' } })
    const statuses = await db.$safetykit.statuses('Review', reviews)
    return reviews.map((review, index) => ({ ...review, safetykit: statuses[index] }))
  },

  // What SafetyKit has of it, and under which request; null: nothing (yet).
  'GET /products/:id/safetykit': ({ id }) => db.$safetykit.status('Product', id),

  // A new evaluation of what SafetyKit has already.
  'POST /products/:id/safetykit': async ({ id }) => ({ resent: await db.$safetykit.resend('Product', { id }) }),
}
