import { setTimeout as sleep } from 'node:timers/promises'
import { Prisma } from '../../prisma/generated/client/client.js'
import { marketplaceSync } from '../support/marketplace.js'
import { connectPrisma } from '../support/prisma.js'

// A small application with delivery inline: it writes in all ways without a pause until SIGTERM, then ends in order. Started
// as a process of its own: node --import tsx application.ts. Prints "writing" once it does.

const { DATABASE_URL: databaseUrl = '', CAPTURE } = process.env
const capture = CAPTURE === 'client' ? 'client' : 'trigger'
const plain = connectPrisma(databaseUrl)
const sync = marketplaceSync(plain, { capture, delivery: { maxBatchObjects: 20, retryBaseMs: 20 } })
const app = plain.$extends(sync.extension())

/** What two writers of the same rows cannot spare each other: a row that is gone, a name that is taken, a deadlock. */
const usual = new Set(['P2002', 'P2003', 'P2025', 'P2028', 'P2034'])

const any = <T>(of: readonly T[]): T => of[Math.floor(Math.random() * of.length)] as T
const mail = (): string => `${Math.floor(Math.random() * 60)}`
const word = (): string => any(['Chair', 'Table', 'Lamp', 'Sofa'])

async function anyOf(table: 'Seller' | 'Product'): Promise<{ id: never }> {
  const [row] =
    table === 'Seller'
      ? await app.$queryRaw<{ id: never }[]>`SELECT id FROM "Seller" ORDER BY random() LIMIT 1`
      : await app.$queryRaw<{ id: never }[]>`SELECT id FROM "Product" ORDER BY random() LIMIT 1`
  if (row === undefined) throw new Prisma.PrismaClientKnownRequestError('', { code: 'P2025', clientVersion: '' })
  return row
}

const writes: readonly (() => Promise<unknown>)[] = [
  () => {
    const email = mail()
    return app.seller.upsert({ where: { email }, create: { name: word(), email }, update: { name: word() } })
  },
  async () => app.seller.update({ where: await anyOf('Seller'), data: { verified: any([true, false]) } }),
  () => app.seller.updateMany({ where: { email: { endsWith: '7' } }, data: { name: word() } }),
  () =>
    app.seller.createMany({ data: [mail(), mail()].map((email) => ({ name: word(), email })), skipDuplicates: true }),
  async () => app.seller.delete({ where: await anyOf('Seller') }),
  // Nested.
  async () => {
    const products = { create: [{ title: word(), price: 1 }] }
    return app.seller.update({ where: await anyOf('Seller'), data: { name: word(), products } })
  },
  async () => app.product.delete({ where: await anyOf('Product') }),
  // An interactive transaction, some of which are rolled back.
  async () => {
    const seller = await anyOf('Seller')
    return app.$transaction(async (tx) => {
      const { id } = await tx.product.create({ data: { title: word(), price: 1, sellerId: seller.id } })
      await tx.review.create({ data: { productId: id, authorId: seller.id, stars: 1, text: word() } })
      await tx.orderLine.create({ data: { orderId: id, line: 1, productId: id, unitPrice: 1 } })
      await tx.product.update({ where: { id }, data: { status: 'ACTIVE' } })
      await tx.review.updateMany({ where: { productId: id }, data: { stars: 5 } })
      if (Math.random() < 0.3) throw new Prisma.PrismaClientKnownRequestError('', { code: 'P2034', clientVersion: '' })
    })
  },
  // A batch.
  async () => {
    const where = await anyOf('Product')
    return app.$transaction([
      app.product.update({ where, data: { title: word() } }),
      app.product.update({ where, data: { viewCount: { increment: 1 } } }),
      app.review.deleteMany({ where: { productId: where.id } }),
    ])
  },
  async () => {
    const { id } = await anyOf('Product')
    return app.orderLine.updateMany({ where: { productId: id }, data: { quantity: { increment: 1 }, note: word() } })
  },
  () => app.$executeRaw`UPDATE "Seller" SET name = ${word()} WHERE email = ${mail()}`,
]

let stopped = false
process.once('SIGTERM', () => {
  stopped = true
})

async function write(): Promise<void> {
  while (!stopped) {
    await any(writes)().catch((error: unknown) => {
      if (!(error instanceof Prisma.PrismaClientKnownRequestError && usual.has(error.code))) throw error
    })
    await sleep(Math.random() * 10)
  }
}

await writes[0]?.()
console.log('writing')
await Promise.all([write(), write(), write()])
await app.$safetykit.flush()
await app.$disconnect()
