// What the extension adds to a client, and what it leaves alone: checked by the compiler, never run.
import { expectTypeOf } from 'vitest'
import { Prisma, type PrismaClient } from '../../prisma/generated/client/client.js'
import type { PrismaClient as PrismaClientJs, Prisma as PrismaJs } from '../../prisma/generated/client-js/index.js'
import { defineSync, type ObjectStatus } from '../../src/index.js'

declare const prisma: PrismaClient
declare const prismaJs: PrismaClientJs

const models = {
  Seller: { namespace: 'sellers', fields: { name: true } },
  Product: { namespace: 'products', fields: { title: true } },
  OrderLine: { namespace: 'lines', fields: { quantity: true } },
  Report: { namespace: 'reports', fields: { reason: true } },
} as const

const db = prisma.$extends(defineSync(prisma, { models }).extension())
const dbJs = prismaJs.$extends(defineSync(prismaJs, { models }).extension({ logger: false }))

expectTypeOf(db.$safetykit.status('Product', 'x')).toEqualTypeOf<Promise<ObjectStatus | null>>()
expectTypeOf(dbJs.$safetykit.statuses('Product', ['x'])).toEqualTypeOf<Promise<(ObjectStatus | null)[]>>()

// Keys, of all kinds.
db.$safetykit.status('Seller', 1)
db.$safetykit.status('Report', 1n, { namespace: 'reports' })
db.$safetykit.status('OrderLine', { orderId: 'x', line: 1 })
db.$safetykit.requests('OrderLine', 'x:1', { limit: 3 })
dbJs.$safetykit.status('OrderLine', { orderId: 'x', line: '1' })
// @ts-expect-error there is no such model
db.$safetykit.status('Prodct', 'x')
// @ts-expect-error a model that is not mapped
db.$safetykit.status('Message', 1n)
// @ts-expect-error there is no such field
db.$safetykit.status('OrderLine', { orderId: 'x', lin: 1 })
// @ts-expect-error not a value of this field
db.$safetykit.status('OrderLine', { orderId: 1, line: 1 })
// @ts-expect-error there is no such model
dbJs.$safetykit.requests('Prodct', 'x')
// @ts-expect-error a relation is no part of a key
dbJs.$safetykit.status('OrderLine', { product: 'x' })

// `where` is the model's own.
db.$safetykit.resend('Product', { sellerId: { in: [1, 2] }, status: 'ACTIVE', seller: { verified: true } })
dbJs.$safetykit.resend('Report', { id: { gt: 5n }, reason: 'SPAM' })
expectTypeOf(db.$safetykit.resend<'Product'>)
  .parameter(1)
  .toEqualTypeOf<Prisma.ProductWhereInput>()
expectTypeOf(dbJs.$safetykit.resend<'Report'>)
  .parameter(1)
  .toEqualTypeOf<PrismaJs.ReportWhereInput>()
// @ts-expect-error there is no such field
db.$safetykit.resend('Product', { titel: 'x' })
// @ts-expect-error not a value of this field
db.$safetykit.resend('Product', { sellerId: 'x' })
// @ts-expect-error not a word of this enum
dbJs.$safetykit.resend('Product', { status: 'ACTIV' })
// @ts-expect-error which rows has to be said
db.$safetykit.resend('Product')

// Events.
db.$safetykit.on('accepted', (event) => {
  expectTypeOf(event.objectIds).toEqualTypeOf<readonly string[]>()
  expectTypeOf(event.acceptedAt).toEqualTypeOf<Date>()
})
// @ts-expect-error there is no such event
db.$safetykit.on('acepted', () => {})

// The client keeps its types: what queries give, transactions, raw queries.
export async function queries(): Promise<void> {
  const plain = await prisma.product.findFirstOrThrow({
    select: { price: true, seller: { include: { products: true } } },
  })
  const extended = await db.product.findFirstOrThrow({
    select: { price: true, seller: { include: { products: true } } },
  })
  expectTypeOf(extended).toEqualTypeOf<typeof plain>()
  expectTypeOf(extended.price).toEqualTypeOf<Prisma.Decimal>()
  expectTypeOf(await db.seller.findMany()).toEqualTypeOf<Awaited<ReturnType<typeof prisma.seller.findMany>>>()
  expectTypeOf(await dbJs.seller.findMany()).toEqualTypeOf<Awaited<ReturnType<typeof prismaJs.seller.findMany>>>()
  // @ts-expect-error there is no such field
  await db.product.create({ data: { titel: 'x' } })

  const inside = await db.$transaction(async (tx) => {
    // A transaction's client has the answers too, and what ends or extends a client not.
    expectTypeOf(tx.$safetykit).toEqualTypeOf<typeof db.$safetykit>()
    // @ts-expect-error not of a transaction's client
    tx.$extends({})
    return tx.product.count()
  })
  expectTypeOf(inside).toEqualTypeOf<number>()
  const [first, second] = await db.$transaction([db.seller.findFirst(), db.product.count()])
  expectTypeOf(first).toEqualTypeOf<Awaited<ReturnType<typeof prisma.seller.findFirst>>>()
  expectTypeOf(second).toEqualTypeOf<number>()
  await db.$disconnect()
}

// Other extensions, before and after, keep what they add.
const others = Prisma.defineExtension({
  name: 'others',
  result: { product: { headline: { needs: { title: true }, compute: (product) => product.title.toUpperCase() } } },
  model: { product: { exists: async (id: string) => id !== '' } },
  client: { $now: () => new Date() },
})
const before = prisma.$extends(others)
const between = before.$extends(defineSync(before, { models }).extension())
const after = db.$extends(others)

export async function withOthers(): Promise<void> {
  for (const client of [between, after]) {
    expectTypeOf((await client.product.findFirstOrThrow()).headline).toEqualTypeOf<string>()
    expectTypeOf(await client.product.exists('x')).toEqualTypeOf<boolean>()
    expectTypeOf(client.$now()).toEqualTypeOf<Date>()
    expectTypeOf(await client.$safetykit.status('Product', 'x')).toEqualTypeOf<ObjectStatus | null>()
    // @ts-expect-error there is no such model
    client.$safetykit.status('Prodct', 'x')
    // @ts-expect-error a field of a result extension is none to ask by
    client.$safetykit.resend('Product', { headline: 'x' })
  }
}

// A configuration over tables has no client to extend.
// @ts-expect-error there is no such method
defineSync({ tables: { 'public.products': { namespace: 'products', fields: { title: true } } } }).extension()
