import { PrismaPg } from '@prisma/adapter-pg'
import { describe, expect, it } from 'vitest'
import { PrismaClient } from '../../prisma/generated/client/client.js'
import { clientCapture } from '../../src/capture/client/client-capture.js'
import { readClientTables } from '../../src/capture/client/read-tables.js'
import { connectMarketplace } from '../prisma6/clients.js'
import { soon } from '../support/soon.js'
import { mapped, rigOfTest } from './rig.js'

const seller = (n: number) => ({ name: `s${n}`, email: `s${n}@example.com` })
const versions = {
  '7': (connectionString: string, more: object = {}): PrismaClient =>
    new PrismaClient({ adapter: new PrismaPg({ connectionString, ...more }) }),
  '6.19': (connectionString: string, more: object = {}): PrismaClient =>
    connectMarketplace({ connectionString, ...more }) as unknown as PrismaClient,
}

async function failure(work: PromiseLike<unknown>): Promise<object> {
  const error = await work.then(
    () => {
      throw new Error('it did not fail')
    },
    (caught: unknown) => caught as Error & { code?: string; meta?: unknown },
  )
  const { name, code, message } = error
  return { name, code, message: message.split('\n').at(-1), class: error.constructor.name }
}

describe.each(Object.entries(versions))('with Prisma %s', (_version, connect) => {
  it('a write with one connection never waits for a second', async () => {
    const rig = await rigOfTest({ client: (url) => connect(url, { max: 1 }) })
    const { prisma } = rig
    await Promise.all(Array.from({ length: 30 }, (_, n) => prisma.seller.create({ data: seller(n) })))
    await Promise.all([
      prisma.$transaction([prisma.seller.updateMany({ data: { bio: 'x' } }), prisma.seller.count()]),
      prisma.$transaction(async (tx) => [
        await tx.seller.create({ data: seller(77) }),
        await tx.$executeRaw`UPDATE "Seller" SET bio = 'y'`,
      ]),
      prisma.$executeRaw`DELETE FROM "Seller" WHERE name = 's1'`,
      prisma.seller.create({ data: { ...seller(78), products: { create: { title: 'p', price: 1 } } } }),
    ])
    expect(await rig.look()).toMatchObject({ missed: [] })
  })

  it('a database that is away fails a write as it does without us', async () => {
    const away = 'postgresql://u:p@127.0.0.1:9/nowhere'
    const plain = connect(away)
    const parts = clientCapture({
      parent: plain,
      schema: 'safetykit',
      tables: async () => ({
        defaultSchema: 'public',
        tables: [
          {
            source: 'public.Seller',
            tombstone: false,
            keyColumns: [{ name: 'id', type: 'int4', typmod: -1, labels: null }],
          },
        ],
        foreignKeys: [],
        relations: [{ schema: 'public', name: 'Seller', writes: ['public.Seller'] }],
        deferrable: false,
        writers: [],
      }),
      onCommitted: () => {},
    })
    const prisma = plain.$extends(parts as object) as unknown as PrismaClient
    const writes: readonly ((client: PrismaClient) => PromiseLike<unknown>)[] = [
      (client) => client.seller.create({ data: seller(1) }),
      (client) => client.seller.createMany({ data: [seller(1)] }),
      (client) => client.$executeRaw`DELETE FROM "Seller"`,
    ]
    for (const write of writes) expect(await failure(write(prisma))).toEqual(await failure(write(plain)))
    await plain.$disconnect()
  })

  it('a constraint that is checked at commit fails a write as it does without us', async () => {
    const sql = `ALTER TABLE "Product" ALTER CONSTRAINT "Product_sellerId_fkey" DEFERRABLE INITIALLY DEFERRED`
    const rig = await rigOfTest({ sql, client: connect })
    const write = (client: PrismaClient) => client.product.create({ data: { title: 'p', price: 1, sellerId: 99 } })
    expect(await failure(write(rig.prisma))).toEqual(await failure(write(rig.plain)))
    expect(await rig.plain.product.count()).toBe(0)
    expect(await rig.look()).toMatchObject({ keys: [], marks: [] })
    expect(rig.commits()).toBe(0)
  })

  it('missing side tables fail the write with what to run, and leave nothing written', async () => {
    const rig = await rigOfTest({ client: connect })
    await rig.db.query('ALTER TABLE safetykit.dirty RENAME TO elsewhere')
    const outdated = {
      name: 'SyncError',
      code: 'SCHEMA_OUTDATED',
      hint: expect.stringContaining('safetykit-sync migrate'),
    }
    await expect(rig.prisma.seller.create({ data: seller(1) })).rejects.toMatchObject(outdated)
    await expect(rig.prisma.$transaction((tx) => tx.seller.create({ data: seller(1) }))).rejects.toMatchObject(outdated)
    expect(await rig.prisma.seller.count()).toBe(0)
  })

  it('functions and procedures that write mark all tables, those that read none', async () => {
    const sql = `
      CREATE FUNCTION rename() RETURNS int LANGUAGE sql AS 'UPDATE "Seller" SET name = ''f''; SELECT 1';
      CREATE FUNCTION outer_one() RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN rename(); END';
      CREATE FUNCTION reads() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM "Seller"';
      CREATE PROCEDURE in_steps() LANGUAGE plpgsql AS 'BEGIN UPDATE "Seller" SET name = ''p''; COMMIT; UPDATE "Seller" SET bio = name; END'`
    const rig = await rigOfTest({ sql, client: connect })
    await rig.plain.seller.create({ data: seller(1) })
    await rig.look()
    for (const call of ['SELECT rename()', 'SELECT public."outer_one" () AS x', 'CALL in_steps()']) {
      await rig.prisma.$executeRawUnsafe(call)
      expect(await rig.look()).toMatchObject({
        marks: expect.arrayContaining(['public.Seller', 'trust.reports']),
        missed: [],
      })
    }
    expect(await rig.plain.seller.findFirst()).toMatchObject({ name: 'p', bio: 'p' })
    expect(rig.commits()).toBe(3)
    await rig.prisma.$queryRaw`SELECT reads()`
    expect(await rig.look()).toMatchObject({ marks: [], keys: [] })
  })

  it('views and raw SQL over them mark what they read', async () => {
    const sql = `CREATE VIEW loud AS SELECT id, name FROM "Seller"; CREATE VIEW louder AS SELECT * FROM loud`
    const rig = await rigOfTest({ sql, client: connect })
    await rig.plain.seller.create({ data: seller(1) })
    await rig.look()
    await rig.prisma.$executeRaw`UPDATE public.louder SET name = 'x'`
    expect(await rig.look()).toMatchObject({ marks: ['public.Seller'], missed: [] })
    await rig.prisma.$executeRawUnsafe('DO $$ BEGIN DELETE FROM loud; END $$')
    expect(await rig.look()).toMatchObject({
      marks: [
        'public.Message',
        'public.OrderLine',
        'public.Product',
        'public.Seller',
        'public.product_reviews',
        'trust.reports',
      ],
    })
  })
})

it('limits of the application hold for its transactions, and not for its single writes', async () => {
  const rig = await rigOfTest({
    client: (connectionString) =>
      new PrismaClient({
        adapter: new PrismaPg({ connectionString }),
        transactionOptions: { timeout: 300, maxWait: 3_000, isolationLevel: 'Serializable' },
      }),
  })
  const { prisma } = rig
  const slow = () =>
    prisma.$queryRaw`INSERT INTO "Seller" (name, email) SELECT 'n', 'e' || random() FROM pg_sleep(0.6) RETURNING current_setting('transaction_isolation') AS level`
  expect(await slow()).toEqual([{ level: 'read committed' }])
  const level = prisma.$transaction([
    prisma.seller.create({ data: seller(1), select: { name: true } }),
    prisma.$queryRaw`SELECT current_setting('transaction_isolation') AS level`,
  ])
  expect(await level).toEqual([{ name: 's1' }, [{ level: 'serializable' }]])
  await expect(prisma.$transaction([slow(), prisma.seller.create({ data: seller(2) })])).rejects.toMatchObject({
    code: 'P2028',
  })
  expect(await prisma.seller.count()).toBe(2)
  expect(await rig.look()).toMatchObject({ missed: [] })
})

it('a key that the client omits everywhere is captured, and stays omitted', async () => {
  const rig = await rigOfTest({
    client: (connectionString) =>
      new PrismaClient({
        adapter: new PrismaPg({ connectionString }),
        omit: { seller: { id: true, lifetimeCents: true } },
      }) as unknown as PrismaClient,
  })
  const made = await rig.prisma.seller.create({ data: seller(1) })
  expect(made).toEqual(await rig.plain.seller.findFirst())
  expect(Object.keys(made)).not.toContain('id')
  const shown = await rig.prisma.seller.update({
    where: { email: made.email },
    data: { bio: 'x' },
    omit: { id: false } as never,
  })
  expect(shown).toHaveProperty('id', 1)
  expect(await rig.look()).toMatchObject({ keys: ['public.Seller {"id": "1"}'], marks: [], missed: [] })
})

/** A client whose tables can be read when `away` is over. */
function awayAtFirst(rig: Awaited<ReturnType<typeof rigOfTest>>, strict: boolean) {
  const state = { away: true, missed: [] as string[] }
  const parts = clientCapture({
    parent: rig.plain,
    schema: 'safetykit',
    tables: () =>
      state.away
        ? Promise.reject(new Error('away'))
        : readClientTables(rig.db.pool, { tables: mapped, defaultSchema: 'public' }),
    strict,
    onMissed: (error) => state.missed.push(error.message),
    onCommitted: () => {},
  })
  return { state, prisma: rig.plain.$extends(parts as object) as unknown as PrismaClient }
}

it('strict: a write fails while the tables cannot be read, and the next one asks again', async () => {
  const rig = await rigOfTest()
  const { state, prisma } = awayAtFirst(rig, true)
  expect(await prisma.seller.count()).toBe(0)
  expect(await prisma.$queryRaw`SELECT 1 AS one`).toEqual([{ one: 1 }])
  await expect(prisma.seller.create({ data: seller(1) })).rejects.toThrow('away')
  await expect(prisma.$transaction([prisma.seller.create({ data: seller(1) })])).rejects.toThrow('away')
  state.away = false
  await prisma.seller.create({ data: seller(1) })
  expect(await rig.look()).toMatchObject({ keys: ['public.Seller {"id": "1"}'], missed: [] })
})

it('writes go on while the tables cannot be read, and the tables are marked once they can', async () => {
  const rig = await rigOfTest()
  const { state, prisma } = awayAtFirst(rig, false)
  await prisma.seller.create({ data: seller(1) })
  await prisma.$transaction([prisma.seller.create({ data: seller(2) }), prisma.seller.count()])
  await prisma.$transaction((tx) => tx.seller.create({ data: seller(3) }))
  expect(state.missed.length).toBeGreaterThan(0)
  expect((await rig.db.query('SELECT FROM safetykit.dirty')).rowCount).toBe(0)
  state.away = false
  await soon(async () => {
    await prisma.seller.update({ where: { id: 1 }, data: { bio: 'x' } })
    const { rows } = await rig.db.query<{ source: string }>('SELECT source FROM safetykit.dirty WHERE key IS NULL')
    expect(rows.map(({ source }) => source)).toContain('public.Seller')
  })
})

it('many writers at once lose nothing', async () => {
  const rig = await rigOfTest()
  const { prisma } = rig
  await prisma.seller.createMany({ data: Array.from({ length: 20 }, (_, n) => seller(n)) })
  const work = Array.from({ length: 200 }, (_, n) => async () => {
    const id = (n % 20) + 1
    if (n % 3 === 0) return prisma.seller.update({ where: { id }, data: { bio: `${n}` }, select: { bio: true } })
    if (n % 3 === 1)
      return prisma.$transaction(async (tx) => {
        await tx.seller.update({ where: { id }, data: { bio: `${n}` } })
        if (n % 2) throw new Error('back')
      })
    return prisma.$transaction([prisma.seller.update({ where: { id }, data: { bio: `${n}` } }), prisma.seller.count()])
  })
  await Promise.allSettled(work.map((run) => run()))
  expect(await rig.look()).toMatchObject({ marks: [], missed: [], spare: [] })
})

it('anything that is no client is refused', () => {
  const options = { schema: 'safetykit', tables: () => Promise.reject(new Error('unused')), onCommitted: () => {} }
  for (const parent of [undefined, {}, { $transaction() {} }]) {
    expect(() => clientCapture({ ...options, parent })).toThrow(expect.objectContaining({ code: 'CONFIG_INVALID' }))
  }
})
