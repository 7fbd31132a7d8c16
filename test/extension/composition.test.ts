import { PrismaPg } from '@prisma/adapter-pg'
import { expect, onTestFinished, test } from 'vitest'
import { Prisma } from '../../prisma/generated/client/client.js'
import { PrismaClient as PrismaClientJs } from '../../prisma/generated/client-js/index.js'
import { defineSync } from '../../src/index.js'
import { type ExtensionRig, extensionRig } from './rig.js'

const models = { Seller: { namespace: 'sellers', fields: { name: true } } } as const

async function shop(): Promise<ExtensionRig> {
  const rig = await extensionRig()
  await rig.migrate(defineSync(rig.prisma, { models }))
  return rig
}

const others = (seen: string[]) =>
  Prisma.defineExtension({
    name: 'others',
    result: { seller: { shout: { needs: { name: true }, compute: ({ name }) => name.toUpperCase() } } },
    model: { seller: { hello: (name: string) => `hello ${name}` } },
    client: { $now: () => new Date(0) },
    query: {
      $allOperations({ operation, args, query }) {
        seen.push(operation)
        return query(args)
      },
    },
  })

test('works on an extended client, and under further extensions', async () => {
  const rig = await shop()
  const [before, after]: [string[], string[]] = [[], []]
  const base = rig.prisma.$extends(others(before))
  const ours = base.$extends(defineSync(base, { models }).extension(rig.options))
  const db = ours.$extends(others(after))
  onTestFinished(() => db.$disconnect())
  const seller = await db.seller.create({ data: { name: 'x', email: 'a' } })
  expect(seller.shout).toBe('X')
  expect(db.seller.hello('y')).toBe('hello y')
  expect(db.$now()).toEqual(new Date(0))
  expect(await db.$safetykit.flush()).toMatchObject({ settled: true })
  expect(await db.$safetykit.status('Seller', seller)).toMatchObject({ state: 'accepted' })
  expect(before).toContain('create')
  expect(after).toContain('create')
})

test('results are those of the plain client', async () => {
  const rig = await shop()
  const db = rig.prisma.$extends(defineSync(rig.prisma, { models }).extension(rig.options))
  onTestFinished(() => db.$disconnect())
  const data = { name: 'n', createdAt: new Date(0) }
  const select = { name: true, createdAt: true, lifetimeCents: true } as const
  expect(await db.seller.create({ data: { ...data, email: 'a' }, select })).toEqual(
    await rig.prisma.seller.create({ data: { ...data, email: 'b' }, select }),
  )
  await expect(db.seller.create({ data: { ...data, email: 'a' } })).rejects.toMatchObject({ code: 'P2002' })
  expect(await db.seller.findUnique({ where: { email: 'a' } }).products()).toEqual([])
  expect(await db.$queryRaw`SELECT 1::int AS one`).toEqual([{ one: 1 }])
  expect(await db.$executeRaw`UPDATE "Seller" SET bio = 'x'`).toBe(2)
})

test('works with the older generator', async () => {
  const rig = await shop()
  const prisma = new PrismaClientJs({ adapter: new PrismaPg({ connectionString: rig.db.url }) })
  const db = prisma.$extends(defineSync(prisma, { models }).extension(rig.options))
  onTestFinished(() => db.$disconnect())
  const { id } = await db.seller.create({ data: { name: 'n', email: 'a' } })
  expect(await db.$safetykit.flush()).toMatchObject({ settled: true })
  expect(await db.$safetykit.status('Seller', id)).toMatchObject({ state: 'accepted' })
  expect(await db.$safetykit.resend('Seller', { id })).toBe(1)
  expect(await db.$safetykit.flush()).toMatchObject({ settled: true, accepted: 1 })
  expect(rig.emulator.history('sellers', String(id))).toHaveLength(2)
})
