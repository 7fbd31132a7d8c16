import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { PrismaClient } from '../../prisma/generated/client/client.js'
import { anatomy, type ClientRig, closeRig, createRig, type Looked } from './rig.js'

const date = new Date('2024-05-06T07:08:09.010Z')
const uuid = (n: number): string => `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`
const seller = (n: number) => ({ name: `s${n}`, email: `s${n}@example.com`, createdAt: date })
const product = (n: number) => ({ id: uuid(n), title: `p${n}`, price: '12.50', createdAt: date, updatedAt: date })

/** What the tests of both versions of Prisma are run on. */
export function testWrites(client: (url: string) => PrismaClient): void {
  /** The same database twice: what is done through the captured client is done through the plain one as well. */
  let ours: ClientRig
  let theirs: ClientRig
  beforeAll(async () => {
    ours = await createRig({ client })
    theirs = await createRig({ client })
  })
  afterAll(async () => {
    await closeRig(ours)
    await closeRig(theirs)
  })

  const tables = [
    'public."Seller"',
    'public."Product"',
    'public."ProductImage"',
    'public."Message"',
    'public.product_reviews',
    'public."OrderLine"',
    'trust.reports',
  ]

  beforeEach(async () => {
    for (const { db } of [ours, theirs]) {
      await db.query(`TRUNCATE ${tables.join()} RESTART IDENTITY CASCADE`)
      await db.query(`
      INSERT INTO "Seller" (name, email, "createdAt") SELECT 'n' || i, 'e' || i, '2024-01-01' FROM generate_series(1, 3) i;
      INSERT INTO "Product" (id, title, price, "sellerId", "createdAt", "updatedAt")
        SELECT ('00000000-0000-4000-8000-' || lpad(i::text, 12, '0'))::uuid, 't' || i, i, 1 + i % 2, '2024-01-01', '2024-01-01' FROM generate_series(1, 4) i;
      INSERT INTO "OrderLine" ("orderId", line, "productId", "unitPrice") SELECT '${uuid(7)}', i, '${uuid(1)}', 1 FROM generate_series(1, 2) i;
      INSERT INTO product_reviews (product_id, author_id, stars, written_at) VALUES ('${uuid(1)}', 3, 5, '2024-01-01');
      INSERT INTO "Message" ("senderId", "recipientId", body, "sentAt") VALUES (1, 2, 'hi', '2024-01-01');
      INSERT INTO trust.reports (reason, reporter_id, created_at) VALUES ('spam', 3, '2024-01-01')`)
      await db.query('TRUNCATE safetykit.dirty, truth.rows')
    }
  })

  type Work = (prisma: PrismaClient) => Promise<unknown>

  async function outcome(work: Work, prisma: PrismaClient): Promise<unknown> {
    try {
      return anatomy(await work(prisma))
    } catch (error) {
      const { name, code, message, meta } = error as Error & { code?: string; meta?: unknown }
      return { name, code, message: message.replace(/ in\n[\s\S]*?\n\n(?=\D)/, ''), meta: JSON.stringify(meta) }
    }
  }

  /** Runs on both, compares what came of it, and says what was captured. */
  async function compared(work: Work): Promise<Looked> {
    const expected = await outcome(work, theirs.plain)
    expect(await outcome(work, ours.prisma)).toEqual(expected)
    const dump = async (rig: ClientRig): Promise<unknown> => {
      const all = tables.map(async (table) =>
        (await rig.db.query<{ t: string }>(`SELECT t::text FROM ${table} t ORDER BY 1`)).rows.map(({ t }) =>
          t.replace(/"20(?!24)[^"]*"/, 'now'),
        ),
      )
      return Promise.all(all)
    }
    expect(await dump(ours)).toEqual(await dump(theirs))
    const looked = await ours.look()
    expect(looked.missed).toEqual([])
    return looked
  }

  const exact = { marks: [], spare: [] as string[] }

  describe('top-level writes are captured by key, and give what Prisma gives', () => {
    const cases: Record<string, Work> = {
      create: (p) => p.seller.create({ data: seller(9) }),
      'create, its key not selected': (p) => p.seller.create({ data: seller(9), select: { name: true } }),
      'create, its key selected last': (p) => p.seller.create({ data: seller(9), select: { name: true, id: true } }),
      'create, its key selected as false': (p) =>
        p.seller.create({ data: seller(9), select: { id: false, name: true } }),
      'create, including relations': (p) =>
        p.product.create({ data: { ...product(9), sellerId: 1 }, include: { seller: true, images: true } }),
      'create, selecting relations only': (p) =>
        p.product.create({ data: { ...product(9), sellerId: 1 }, select: { seller: { select: { name: true } } } }),
      'create, selecting a count': (p) =>
        p.seller.create({ data: seller(9), select: { _count: { select: { products: true } } } }),
      'create, as a fluent call': (p) => p.product.create({ data: { ...product(9), sellerId: 1 } }).seller(),
      'create, as a fluent call with a selection': (p) =>
        p.product.create({ data: { ...product(9), sellerId: 1 } }).seller({ select: { email: true } }),
      'update, as a fluent call of two': (p) =>
        p.product
          .update({ where: { id: uuid(1) }, data: { title: 'x' } })
          .seller()
          .products({ select: { title: true }, orderBy: { id: 'asc' } }),
      'a composite key': (p) =>
        p.orderLine.create({ data: { orderId: uuid(8), line: 3, productId: uuid(1), unitPrice: 3 } }),
      'a composite key, half selected': (p) =>
        p.orderLine.update({
          where: { orderId_line: { orderId: uuid(7), line: 1 } },
          data: { note: 'x' },
          select: { note: true, line: true },
        }),
      'a bigint key in another schema': (p) =>
        p.report.create({ data: { reason: 'UNSAFE_ITEM', reporterId: 1, createdAt: date }, select: { reason: true } }),
      'a mapped key': (p) => p.review.update({ where: { id: 1 }, data: { stars: 1 }, select: { stars: true } }),
      createMany: (p) => p.seller.createMany({ data: [seller(8), seller(9)] }),
      'createMany of one': (p) => p.seller.createMany({ data: seller(8) }),
      'createMany, skipping duplicates': (p) =>
        p.seller.createMany({ data: [seller(8), { ...seller(9), email: 'e1' }], skipDuplicates: true }),
      'createMany of nothing': (p) => p.seller.createMany({ data: [] }),
      createManyAndReturn: (p) => p.seller.createManyAndReturn({ data: [seller(8), seller(9)] }),
      'createManyAndReturn, selecting': (p) =>
        p.seller.createManyAndReturn({ data: [seller(8), seller(9)], select: { email: true } }),
      'createManyAndReturn, including': (p) =>
        p.product.createManyAndReturn({ data: [{ ...product(8), sellerId: 1 }], include: { seller: true } }),
      update: (p) => p.seller.update({ where: { id: 1 }, data: { name: 'x' } }),
      'update by another unique field': (p) =>
        p.seller.update({ where: { email: 'e2' }, data: { name: 'x' }, select: { name: true } }),
      'update of a foreign key': (p) =>
        p.product.update({ where: { id: uuid(1) }, data: { sellerId: 3, updatedAt: date } }),
      updateMany: (p) => p.product.updateMany({ where: { sellerId: 1 }, data: { title: 'x', updatedAt: date } }),
      'updateMany with a limit': (p) =>
        p.product.updateMany({ where: { title: 't2' }, data: { title: 'x', updatedAt: date }, limit: 1 }),
      'updateMany of nothing': (p) => p.product.updateMany({ where: { sellerId: 77 }, data: { title: 'x' } }),
      updateManyAndReturn: (p) =>
        p.product.updateManyAndReturn({ where: { sellerId: 1 }, data: { title: 'x', updatedAt: date } }),
      'updateManyAndReturn, omitting the key': (p) =>
        p.product.updateManyAndReturn({
          where: { id: uuid(1) },
          data: { title: 'x', updatedAt: date },
          select: { title: true },
        }),
      'upsert that inserts': (p) =>
        p.seller.upsert({
          where: { email: 'new' },
          create: { ...seller(9), email: 'new' },
          update: { name: 'y' },
          select: { name: true },
        }),
      'upsert that updates': (p) =>
        p.seller.upsert({ where: { email: 'e1' }, create: seller(9), update: { name: 'y' } }),
      'delete with a tombstone': (p) =>
        p.orderLine.delete({ where: { orderId_line: { orderId: uuid(7), line: 1 } }, select: { note: true } }),
      'delete without a tombstone': (p) => p.report.delete({ where: { id: 1n } }),
      'deleteMany without a tombstone': (p) => p.report.deleteMany(),
      'an unmapped model': (p) => p.productImage.create({ data: { url: 'u', productId: uuid(1) } }),
      'a failed create': (p) => p.seller.create({ data: { ...seller(1), email: 'e1' } }),
      'a failed create, its key not selected': (p) =>
        p.seller.create({ data: { ...seller(1), email: 'e1' }, select: { name: true } }),
      'a failed createMany': (p) => p.seller.createMany({ data: [seller(9), { ...seller(1), email: 'e1' }] }),
      'an update of no row': (p) => p.seller.update({ where: { id: 77 }, data: { name: 'x' }, select: { name: true } }),
      'a foreign key that does not hold': (p) => p.product.create({ data: { ...product(9), sellerId: 99 } }),
      'an argument that is refused': (p) => p.seller.create({ data: { nme: 'x' } as never, select: { name: true } }),
      'an argument of createMany that is refused': (p) => p.seller.createMany({ data: [{ nme: 'x' } as never] }),
      'an empty selection': (p) => p.seller.create({ data: seller(9), select: {} }),
      'select and omit at once': (p) =>
        p.seller.create({ data: seller(9), select: { name: true }, omit: { name: true } } as never),
    }
    it.each(Object.entries(cases))('%s', async (_name, work) => {
      expect(await compared(work)).toMatchObject(exact)
    })

    it('hides a key that was omitted', async () => {
      const made = await ours.prisma.seller.create({ data: seller(9), omit: { id: true } })
      expect(Object.keys(made)).not.toContain('id')
      expect(JSON.parse(JSON.stringify({ ...made, lifetimeCents: 0 }))).not.toHaveProperty('id')
      const { keys } = await ours.look()
      expect(keys).toEqual(['public.Seller {"id": "4"}'])
    })
  })

  describe('what cannot be told by key marks the table', () => {
    const cases: Record<string, readonly [Work, readonly string[]]> = {
      'deleteMany with a tombstone': [(p) => p.orderLine.deleteMany({ where: { line: 1 } }), ['public.OrderLine']],
      'deleteMany of nothing': [(p) => p.orderLine.deleteMany({ where: { line: 99 } }), []],
      'a changed key with a tombstone': [
        (p) => p.seller.update({ where: { id: 3 }, data: { id: 33 } }),
        ['public.Message', 'public.Product', 'public.Seller', 'public.product_reviews', 'trust.reports'],
      ],
      'a changed key without a tombstone': [(p) => p.review.update({ where: { id: 1 }, data: { id: 5 } }), []],
      'a delete that cascades': [(p) => p.seller.delete({ where: { id: 3 } }), ['public.Product']],
      'a delete of an image': [(p) => p.productImage.deleteMany(), []],
      'a nested create': [
        (p) => p.seller.create({ data: { ...seller(9), products: { create: product(9) } } }),
        ['public.Product'],
      ],
      'a nested createMany': [
        (p) =>
          p.seller.update({ where: { id: 1 }, data: { products: { createMany: { data: [product(8), product(9)] } } } }),
        ['public.Product'],
      ],
      'three levels': [
        (p) =>
          p.seller.create({
            data: {
              ...seller(9),
              products: { create: { ...product(9), reviews: { create: { authorId: 1, stars: 1, writtenAt: date } } } },
            },
            select: { name: true },
          }),
        ['public.Product', 'public.product_reviews'],
      ],
      'a nested update': [
        (p) =>
          p.product.update({ where: { id: uuid(1) }, data: { updatedAt: date, seller: { update: { name: 'x' } } } }),
        ['public.Seller'],
      ],
      'a nested upsert': [
        (p) =>
          p.seller.update({
            where: { id: 1 },
            data: { products: { upsert: { where: { id: uuid(9) }, create: product(9), update: {} } } },
          }),
        ['public.Product'],
      ],
      'a nested updateMany': [
        (p) =>
          p.seller.update({
            where: { id: 1 },
            data: { products: { updateMany: { where: {}, data: { title: 'x', updatedAt: date } } } },
          }),
        ['public.Product'],
      ],
      'a nested delete': [
        (p) => p.seller.update({ where: { id: 2 }, data: { products: { deleteMany: { title: 't3' } } } }),
        ['public.Product'],
      ],
      'connect on the side with the key': [
        (p) => p.product.update({ where: { id: uuid(1) }, data: { updatedAt: date, seller: { connect: { id: 3 } } } }),
        [],
      ],
      'connect on the other side': [
        (p) => p.seller.update({ where: { id: 3 }, data: { products: { connect: { id: uuid(1) } } } }),
        ['public.Product'],
      ],
      connectOrCreate: [
        (p) =>
          p.product.create({
            data: { ...product(9), seller: { connectOrCreate: { where: { id: 99 }, create: seller(9) } } },
          }),
        ['public.Seller'],
      ],
      set: [(p) => p.seller.update({ where: { id: 3 }, data: { products: { set: [] } } }), ['public.Product']],
      'nested through an unmapped model': [
        (p) => p.productImage.create({ data: { url: 'u', product: { connect: { id: uuid(1) } } } }),
        [],
      ],
      'nested into a mapped one': [
        (p) => p.productImage.create({ data: { url: 'u', product: { create: { ...product(9), sellerId: 1 } } } }),
        ['public.Product'],
      ],
      'raw SQL': [(p) => p.$executeRaw`UPDATE "Seller" SET name = ${'x'} WHERE id = 1`, ['public.Seller']],
      'raw SQL that returns': [
        (p) => p.$queryRaw`INSERT INTO "Seller" (name, email) VALUES ('x', 'y') RETURNING name`,
        ['public.Seller'],
      ],
      'raw SQL as text': [
        (p) => p.$executeRawUnsafe('DELETE FROM "Seller" WHERE id = $1', 3),
        ['public.Product', 'public.Seller'],
      ],
      'raw SQL that updates a key': [
        (p) => p.$queryRawUnsafe('UPDATE "Product" SET id = $1::uuid WHERE id = $2::uuid', uuid(55), uuid(2)),
        ['public.OrderLine', 'public.Product', 'public.product_reviews'],
      ],
      'raw SQL that reads': [(p) => p.$queryRaw`SELECT id, name FROM "Seller" ORDER BY id`, []],
      set_config: [(p) => p.$executeRaw`SELECT set_config('app.user', ${'x'}, true)`, []],
      'raw SQL that fails': [(p) => p.$executeRaw`UPDATE "Seller" SET email = 'e1' WHERE id = 2`, []],
      'raw SQL of an unmapped table': [(p) => p.$executeRaw`DELETE FROM "ProductImage"`, []],
    }
    it.each(Object.entries(cases))('%s', async (_name, [work, marks]) => {
      const looked = await compared(work)
      expect(looked.marks).toEqual(marks)
    })
  })

  describe('transactions', () => {
    const work: Record<string, Work> = {
      'a batch': (p) =>
        p.$transaction([
          p.seller.create({ data: seller(8), select: { name: true } }),
          p.seller.findMany({ orderBy: { id: 'asc' } }),
          p.product.updateMany({ data: { title: 'z', updatedAt: date } }),
          p.seller.count(),
        ]),
      'a batch of reads': (p) =>
        p.$transaction([p.seller.findMany({ orderBy: { id: 'asc' } }), p.seller.count(), p.$queryRaw`SELECT 1 AS one`]),
      'a batch with a fluent call': (p) =>
        p.$transaction([p.product.update({ where: { id: uuid(1) }, data: { title: 'q', updatedAt: date } }).seller()]),
      'a batch that fails': (p) =>
        p.$transaction([
          p.seller.create({ data: seller(8) }),
          p.seller.create({ data: { ...seller(9), email: 'e1' } }),
        ]),
      'a batch with an isolation level': (p) =>
        p.$transaction(
          [p.seller.create({ data: seller(8) }), p.$queryRaw`SELECT current_setting('transaction_isolation') AS level`],
          { isolationLevel: 'Serializable' },
        ),
      'an empty batch': (p) => p.$transaction([]),
      'an interactive one': (p) =>
        p.$transaction(async (tx) => {
          const made = await tx.seller.create({ data: seller(8), select: { name: true } })
          return [made, await tx.seller.count()]
        }),
      'an interactive one that fails': (p) =>
        p.$transaction(async (tx) => {
          await tx.seller.create({ data: seller(8) })
          throw new RangeError('no')
        }),
      'an isolation level': (p) =>
        p.$transaction((tx) => tx.$queryRaw`SELECT current_setting('transaction_isolation') AS level`, {
          isolationLevel: 'Serializable',
        }),
      'a savepoint': (p) =>
        p.$transaction(async (tx) => {
          await tx.seller.create({ data: seller(8) })
          return (tx as PrismaClient).$transaction(async (inner) =>
            inner.seller.update({ where: { id: 1 }, data: { name: 'sp' } }),
          )
        }),
      'a savepoint that is rolled back': (p) =>
        p.$transaction(async (tx) => {
          await tx.seller.create({ data: seller(8) })
          await (tx as PrismaClient)
            .$transaction(async (inner) => {
              await inner.seller.update({ where: { id: 1 }, data: { name: 'sp' } })
              throw new Error('back')
            })
            .catch(() => {})
          return tx.seller.count()
        }),
      'writes side by side': (p) =>
        p.$transaction(
          async (tx) =>
            await Promise.all(
              [1, 2, 3].map((id) =>
                tx.seller.update({ where: { id }, data: { name: `n${id}` }, select: { name: true } }),
              ),
            ),
        ),
    }
    it.each(Object.entries(work))('%s', async (_name, run) => {
      expect(await compared(run)).toMatchObject(exact)
    })

    it('says when something captured was committed, and only then', async () => {
      const before = ours.commits()
      await ours.prisma.seller.count()
      await ours.prisma.productImage.create({ data: { url: 'u', productId: uuid(1) } })
      await ours.prisma.$transaction([ours.prisma.seller.count()])
      await ours.prisma.$transaction(async (tx) => tx.seller.count())
      await ours.prisma
        .$transaction(async (tx) => {
          await tx.seller.create({ data: seller(8) })
          throw new Error('back')
        })
        .catch(() => {})
      await ours.prisma.seller.update({ where: { id: 77 }, data: {} }).catch(() => {})
      expect(ours.commits()).toBe(before)
      await ours.prisma.seller.create({ data: seller(5) })
      await ours.prisma.$transaction([ours.prisma.seller.create({ data: seller(6) })])
      await ours.prisma.$transaction(async (tx) => tx.seller.create({ data: seller(7) }))
      expect(ours.commits()).toBe(before + 3)
      expect((await ours.look()).missed).toEqual([])
    })
  })
}
