import { PrismaPg } from '@prisma/adapter-pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { PrismaClient as PrismaClientJs } from '../../prisma/generated/client-js/index.js'
import { createDatabase, type TestDatabase } from '../support/postgres.js'
import { applyMigrations, connectPrisma } from '../support/prisma.js'

let database: TestDatabase

beforeAll(async () => {
  database = await createDatabase()
  await applyMigrations(database.url)
})
afterAll(() => database.drop())

// The two generators' clients differ in type only, and a union of them cannot be called.
const clients: Record<string, () => PrismaClientJs> = {
  'prisma-client': () => connectPrisma(database.url) as unknown as PrismaClientJs,
  'prisma-client-js': () => new PrismaClientJs({ adapter: new PrismaPg({ connectionString: database.url }) }),
}

test.each(Object.entries(clients))('the SQL migrations fit the Prisma schema, for %s', async (generator, connect) => {
  const prisma = connect()
  try {
    const seller = await prisma.seller.create({
      data: {
        name: 'Ada',
        email: `ada@${generator}.example`,
        rating: 4.5,
        lifetimeCents: 2n ** 60n,
        avatar: Buffer.from([0, 255]),
      },
    })
    const product = await prisma.product.create({
      data: {
        title: 'A lamp',
        price: '19.90',
        currency: 'EUR',
        status: 'ACTIVE',
        tags: ['light', 'brass'],
        attributes: { height: 40 },
        sellerId: seller.id,
        images: { create: [{ url: 'https://img.example/1.jpg', position: 1 }] },
        reviews: { create: [{ authorId: seller.id, stars: 5, text: 'bright' }] },
        orderLines: {
          create: [{ orderId: '00000000-0000-4000-8000-000000000001', line: generator.length, unitPrice: 20 }],
        },
      },
      include: { images: true, reviews: true, orderLines: true },
    })
    const message = await prisma.message.create({ data: { senderId: seller.id, recipientId: seller.id, body: 'hi' } })
    const report = await prisma.report.create({
      data: { reason: 'UNSAFE_ITEM', evidence: ['a'], reporterId: seller.id },
    })
    expect(product).toMatchObject({ viewCount: 0, images: [{ position: 1 }], reviews: [{ stars: 5 }] })
    expect(product.orderLines).toMatchObject([{ quantity: 1 }])
    expect(message.id).toBeTypeOf('bigint')
    expect(report.reason).toBe('UNSAFE_ITEM')
    const stored = await database.query('SELECT reason::text FROM trust.reports WHERE id = $1', [report.id])
    expect(stored.rows).toEqual([{ reason: 'unsafe-item' }])
  } finally {
    await prisma.$disconnect()
  }
})

test('every column of the Prisma schema is in the database, and no other', async () => {
  const prisma = connectPrisma(database.url)
  const models = Reflect.get(prisma, '_runtimeDataModel').models as Record<string, RuntimeModel>
  const wanted = Object.entries(models).flatMap(([name, model]) =>
    model.fields
      .filter((field) => field.kind !== 'object')
      .map((field) => `${model.schema}.${model.dbName ?? name}.${field.dbName ?? field.name}`),
  )
  const { rows } = await database.query<{ column: string }>(
    `SELECT table_schema || '.' || table_name || '.' || column_name AS column
       FROM information_schema.columns WHERE table_schema IN ('public', 'trust')`,
  )
  expect(rows.map((row) => row.column).sort()).toEqual(wanted.sort())
})

interface RuntimeModel {
  readonly dbName: string | null
  readonly schema: string
  readonly fields: readonly { readonly name: string; readonly kind: string; readonly dbName?: string }[]
}
