import { PrismaPg } from '@prisma/adapter-pg'
import { describe, expect, it } from 'vitest'
import { Prisma, PrismaClient } from '../../prisma/generated/client/client.js'
import { clientCapture } from '../../src/capture/client/client-capture.js'
import { anatomy, rigOfTest } from './rig.js'

const date = new Date('2024-05-06T07:08:09.010Z')
const seller = (n: number) => ({ name: `s${n}`, email: `s${n}@example.com`, createdAt: date })
/** One connection: what would wait for a second one hangs. */
const narrow = (url: string): PrismaClient =>
  new PrismaClient({ adapter: new PrismaPg({ connectionString: url, max: 1 }), transactionOptions: { maxWait: 3_000 } })

/** As Prisma documents it. */
const rowLevelSecurity = (name: string) =>
  Prisma.defineExtension((prisma) =>
    prisma.$extends({
      query: {
        $allModels: {
          async $allOperations({ args, query }) {
            const [, result] = await prisma.$transaction([
              prisma.$executeRaw`SELECT set_config('app.seller', ${name}, true)`,
              query(args) as Prisma.PrismaPromise<unknown>,
            ])
            return result
          },
        },
      },
    }),
  )

const ruleSql = `
  ALTER TABLE "Seller" ENABLE ROW LEVEL SECURITY;
  CREATE POLICY own ON "Seller" USING (name = current_setting('app.seller', true));
  DROP ROLE IF EXISTS limited_app; CREATE ROLE limited_app LOGIN PASSWORD 'x';
  GRANT USAGE ON SCHEMA public, safetykit TO limited_app; GRANT ALL ON ALL TABLES IN SCHEMA public, safetykit TO limited_app;
  GRANT ALL ON ALL SEQUENCES IN SCHEMA public, safetykit TO limited_app`

const limited = (url: string): PrismaClient => {
  const login = new URL(url)
  login.username = 'limited_app'
  login.password = 'x'
  return narrow(login.href)
}

describe('a row-level security extension', () => {
  it('works when it comes after ours: its setting holds for the write, and a rollback takes both', async () => {
    const rig = await rigOfTest({ sql: ruleSql, client: limited })
    const prisma = rig.prisma.$extends(rowLevelSecurity('s1')) as unknown as PrismaClient
    const made = await prisma.seller.create({ data: seller(1), select: { name: true } })
    expect(made).toEqual({ name: 's1' })
    await expect(prisma.seller.create({ data: seller(2) })).rejects.toThrow(/row-level security/)
    expect(await prisma.seller.count()).toBe(1)
    expect(await prisma.seller.updateMany({ data: { bio: 'x' } })).toEqual({ count: 1 })
    expect(await rig.look()).toMatchObject({ keys: ['public.Seller {"id": "1"}'], marks: [], missed: [], spare: [] })
    const failed = prisma.$transaction(async (tx) => {
      await tx.seller.update({ where: { id: 1 }, data: { bio: 'y' } })
      throw new Error('back')
    })
    await expect(failed).rejects.toThrow('back')
    expect(await rig.look()).toMatchObject({ keys: [], marks: [] })
    expect((await prisma.seller.findFirst())?.bio).toBe('x')
    await prisma.$transaction([prisma.seller.update({ where: { id: 1 }, data: { bio: 'z' } }), prisma.seller.count()])
    expect(await rig.look()).toMatchObject({ keys: ['public.Seller {"id": "1"}'], missed: [] })
  })

  it('is refused before ours, with the order that works', async () => {
    const rig = await rigOfTest()
    const parent = rig.plain.$extends(rowLevelSecurity('s1'))
    const options = { schema: 'safetykit', tables: () => Promise.reject(new Error('unused')), onCommitted: () => {} }
    expect(() => clientCapture({ ...options, parent })).toThrow(
      expect.objectContaining({
        code: 'CONFIG_INVALID',
        hint: expect.stringContaining('$extends(sync.extension()).$extends('),
      }),
    )
  })

  it('is refused after ours when it asks another client, before anything is written', async () => {
    const rig = await rigOfTest()
    const { plain } = rig
    const prisma = rig.prisma.$extends({
      query: {
        $allModels: {
          async $allOperations({ args, query }) {
            const [, result] = await plain.$transaction([
              plain.$executeRaw`SELECT set_config('app.seller', 'x', true)`,
              query(args) as Prisma.PrismaPromise<unknown>,
            ])
            return result
          },
        },
      },
    })
    await expect(prisma.seller.create({ data: seller(1) })).rejects.toMatchObject({ code: 'CONFIG_INVALID' })
    expect(await rig.plain.seller.count()).toBe(0)
    expect(await prisma.productImage.count()).toBe(0)
  })
})

describe('a soft delete extension', () => {
  const softDelete = Prisma.defineExtension((prisma) =>
    prisma.$extends({
      query: {
        seller: {
          delete: ({ args }) =>
            (prisma as unknown as PrismaClient).seller.update({ where: args.where, data: { bio: 'gone' } }) as never,
          async deleteMany({ args }) {
            return (prisma as unknown as PrismaClient).seller.updateMany({
              where: args.where ?? {},
              data: { bio: 'gone' },
            })
          },
        },
      },
    }),
  )

  it('works when it comes after ours: the update is captured, on one connection', async () => {
    const rig = await rigOfTest({ client: narrow })
    const prisma = rig.prisma.$extends(softDelete)
    await prisma.seller.create({ data: seller(1) })
    await rig.look()
    const gone = await prisma.seller.delete({ where: { id: 1 } })
    expect(gone).toMatchObject({ id: 1, bio: 'gone' })
    expect(await rig.look()).toMatchObject({ keys: ['public.Seller {"id": "1"}'], marks: [], missed: [] })
    expect(await prisma.seller.deleteMany({ where: { bio: 'gone' } })).toEqual({ count: 1 })
    expect(await rig.look()).toMatchObject({ keys: ['public.Seller {"id": "1"}'], missed: [] })
    expect(rig.commits()).toBe(3)
  })

  it('is refused before ours', async () => {
    const rig = await rigOfTest()
    const options = { schema: 'safetykit', tables: () => Promise.reject(new Error('unused')), onCommitted: () => {} }
    expect(() => clientCapture({ ...options, parent: rig.plain.$extends(softDelete) })).toThrow(/seller\.delete/)
  })

  it('marks the table when its hook asks another client', async () => {
    const rig = await rigOfTest()
    const prisma = rig.prisma.$extends({
      query: {
        seller: {
          delete: ({ args }) => rig.plain.seller.update({ where: args.where, data: { bio: 'gone' } }) as never,
        },
      },
    })
    await prisma.seller.create({ data: seller(1) })
    await rig.look()
    await prisma.seller.delete({ where: { id: 1 } })
    expect(await rig.look()).toMatchObject({ marks: expect.arrayContaining(['public.Seller']), missed: [] })
  })
})

describe('a result extension', () => {
  const computed = {
    result: {
      seller: {
        tag: {
          needs: { id: true, name: true },
          compute: (row: { id: number; name: string }) => `${row.id}/${row.name}`,
        },
        loud: { needs: { name: true }, compute: (row: { name: string }) => row.name.toUpperCase() },
      },
    },
  } as const
  const cases: Record<string, (prisma: PrismaClient) => Promise<unknown>> = {
    all: (p) => p.seller.create({ data: seller(1) }),
    'the one that needs the key': (p) => p.seller.create({ data: seller(2), select: { tag: true } as never }),
    'the one that does not': (p) => p.seller.create({ data: seller(3), select: { loud: true } as never }),
    'with a field': (p) => p.seller.create({ data: seller(4), select: { tag: true, email: true } as never }),
    'the key omitted': (p) => p.seller.create({ data: seller(5), omit: { id: true } }),
    'both omitted': (p) => p.seller.create({ data: seller(6), omit: { id: true, tag: true } as never }),
    many: (p) => p.seller.createManyAndReturn({ data: [seller(7), seller(8)], select: { tag: true } as never }),
    'many counted': (p) => p.seller.createMany({ data: [seller(9)] }),
    'in relations': (p) =>
      p.seller.update({ where: { id: 1 }, data: { name: 'x' }, select: { products: { select: { seller: true } } } }),
  }
  it.each(['before', 'after'])('that comes %s ours computes from the key, selected or not', async (place) => {
    const rig = await rigOfTest()
    const theirs = await rigOfTest()
    const plain = theirs.plain.$extends(computed) as unknown as PrismaClient
    const parts = clientCaptureOf(rig, place === 'before' ? rig.plain.$extends(computed) : rig.plain)
    const prisma = (place === 'before' ? parts : parts.$extends(computed)) as PrismaClient
    const seen = (value: unknown): unknown => {
      const rows = Array.isArray(value) ? value : [value]
      return rows.map((row) => [
        Object.entries(row),
        Object.keys(row),
        row.tag,
        row.loud,
        JSON.stringify({ ...row, lifetimeCents: 0 }),
      ])
    }
    for (const [name, work] of Object.entries(cases)) {
      expect([name, seen(await work(prisma))]).toEqual([name, seen(await work(plain))])
    }
    expect(await rig.look()).toMatchObject({ marks: [], missed: [], spare: [] })
  })
})

function clientCaptureOf(rig: Awaited<ReturnType<typeof rigOfTest>>, parent: unknown): PrismaClient {
  const extended = (parent as PrismaClient).$extends(rig.parts(parent) as object)
  return extended as unknown as PrismaClient
}

describe('hooks of extensions after ours', () => {
  it('see the arguments and the results of the caller', async () => {
    const rig = await rigOfTest()
    const seen: unknown[] = []
    const prisma = rig.prisma.$extends({
      query: {
        $allModels: {
          async $allOperations({ args, query }) {
            const result = await query(args)
            seen.push(args, anatomy(result))
            return result
          },
        },
      },
    })
    await prisma.seller.createMany({ data: [seller(1)] })
    expect(seen).toEqual([{ data: [seller(1)] }, anatomy({ count: 1 })])
    seen.length = 0
    await prisma.seller.create({ data: seller(2), select: { name: true } })
    expect(seen).toEqual([{ data: seller(2), select: { name: true } }, anatomy({ name: 's2' })])
    expect(await rig.look()).toMatchObject({ marks: [], missed: [] })
  })

  it('may change arguments and write more, in the same transaction', async () => {
    const rig = await rigOfTest({ client: narrow })
    const { prisma: captured } = rig
    const prisma = captured.$extends({
      query: {
        seller: {
          async create({ args, query }) {
            const made = await query({ ...args, data: { ...args.data, bio: 'changed' }, select: { id: true } })
            await captured.message.create({ data: { senderId: made.id!, recipientId: made.id!, body: 'welcome' } })
            return made
          },
        },
      },
    })
    expect(await prisma.seller.create({ data: seller(1) })).toEqual({ id: 1 })
    expect(await rig.look()).toMatchObject({
      keys: ['public.Message {"id": "1"}', 'public.Seller {"id": "1"}'],
      marks: [],
      missed: [],
      spare: [],
    })
  })

  it('may open a transaction, which becomes part of theirs', async () => {
    const rig = await rigOfTest({ client: narrow })
    const { prisma: captured } = rig
    const prisma = captured.$extends({
      query: {
        seller: {
          async update({ args, query }) {
            await captured
              .$transaction(async (tx) => {
                await tx.message.create({ data: { senderId: 1, recipientId: 1, body: 'lost' } })
                throw new Error('back')
              })
              .catch(() => {})
            await captured.$transaction(async (tx) =>
              tx.message.create({ data: { senderId: 1, recipientId: 1, body: 'kept' } }),
            )
            return query(args)
          },
        },
      },
    })
    await captured.seller.create({ data: seller(1) })
    await prisma.seller.update({ where: { id: 1 }, data: { bio: 'x' } })
    expect(await rig.plain.message.findMany({ select: { body: true } })).toEqual([{ body: 'kept' }])
    await expect(prisma.seller.update({ where: { id: 1 }, data: { email: null as never } })).rejects.toThrow()
    expect(await rig.plain.message.count()).toBe(1)
    expect(await rig.look()).toMatchObject({ marks: [], missed: [], spare: [] })
  })

  it('that fail after the write leave it written, and captured', async () => {
    const rig = await rigOfTest()
    const prisma = rig.prisma.$extends({
      query: {
        seller: {
          async create({ args, query }) {
            await query(args)
            throw new Error('too late')
          },
        },
      },
    })
    await expect(prisma.seller.create({ data: seller(1) })).rejects.toThrow('too late')
    expect(await rig.plain.seller.count()).toBe(1)
    expect(await rig.look()).toMatchObject({ keys: ['public.Seller {"id": "1"}'], missed: [] })
    expect(rig.commits()).toBe(1)
  })
})
