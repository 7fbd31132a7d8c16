import { caught, gate, type Scenarios } from '../scenario.js'

const fay = { name: 'Fay', email: 'fay@example.org' }

class Changed extends Error {}

/** Batches, interactive transactions, and what is taken back. */
export const transactions: Scenarios = {
  batch: {
    run: ({ prisma }) =>
      prisma.$transaction([
        prisma.author.create({ data: fay, select: { name: true } }),
        prisma.author.findMany({ select: { id: true }, orderBy: { id: 'asc' } }),
        prisma.author.updateMany({ where: { role: 'WRITER' }, data: { bio: 'Works' } }),
        prisma.tag.delete({ where: { id: 3 } }),
        prisma.log.create({ data: { line: 'batch' } }),
        prisma.tag.createMany({ data: [{ label: 'pink' }, { label: 'grey' }] }),
      ]),
  },
  'batch of one': { run: ({ prisma }) => prisma.$transaction([prisma.author.create({ data: fay })]) },
  'batch of none': { run: ({ prisma }) => prisma.$transaction([]), leavesNoMark: true },
  'batch of reads': {
    run: ({ prisma }) => prisma.$transaction([prisma.author.count(), prisma.post.count()]),
    leavesNoMark: true,
  },
  'batch with an isolation level': {
    run: ({ prisma }) =>
      prisma.$transaction(
        [
          prisma.author.update({ where: { id: 2 }, data: { name: 'Bob' } }),
          prisma.author.findUnique({ where: { id: 2 } }),
        ],
        { isolationLevel: 'Serializable' },
      ),
  },
  'batch with a fluent write': {
    run: ({ prisma }) =>
      prisma.$transaction([
        prisma.post.update({ where: { slug: 'one' }, data: { title: '1st' } }).author(),
        prisma.profile.update({ where: { id: 2 }, data: { about: '-' } }),
      ]),
  },
  'batch that fails': {
    run: ({ prisma }) =>
      caught(
        prisma.$transaction([
          prisma.tag.create({ data: { label: 'pink' } }),
          prisma.author.create({ data: { name: 'Not Ada', email: 'ada@example.org' } }),
        ]),
      ),
    leavesNoMark: true,
  },
  'interactive transaction': {
    run: ({ prisma }) =>
      prisma.$transaction(async (tx) => {
        const author = await tx.author.create({ data: fay })
        const made = await tx.post.create({
          data: { slug: 'six', title: 'Sixth', authorId: author.id },
          select: { slug: true, author: true },
        })
        await tx.post.updateMany({ where: { authorId: author.id }, data: { title: '6th' } })
        const seen = await tx.author.findUnique({
          where: { id: author.id },
          select: { posts: { select: { title: true } } },
        })
        return { author, made, seen, deleted: await tx.tag.deleteMany({ where: { label: 'blue' } }) }
      }),
  },
  'interactive transaction with an isolation level': {
    run: ({ prisma }) =>
      prisma.$transaction(
        async (tx) => {
          const [level] = await tx.$queryRaw<object[]>`SELECT current_setting('transaction_isolation') AS level`
          return [level, await tx.author.update({ where: { id: 2 }, data: { name: 'Bob' } })]
        },
        { isolationLevel: 'RepeatableRead', maxWait: 5_000, timeout: 20_000 },
      ),
  },
  'interactive transaction that only reads': {
    run: ({ prisma }) => prisma.$transaction((tx) => tx.author.findMany({ orderBy: { id: 'asc' } })),
    leavesNoMark: true,
  },
  'interactive transaction with writes at once': {
    run: ({ prisma }) =>
      prisma.$transaction((tx) =>
        Promise.all([
          tx.author.update({ where: { id: 1 }, data: { bio: 'One' } }),
          tx.author.update({ where: { id: 2 }, data: { bio: 'Two' } }),
          tx.tag.create({ data: { id: 50, label: 'pink' } }),
        ]),
      ),
  },
  'interactive transaction that is rolled back': {
    run: ({ prisma }) =>
      caught(
        prisma.$transaction(async (tx) => {
          await tx.author.create({ data: fay })
          await tx.author.updateMany({ data: { bio: 'Gone' } })
          await tx.tag.delete({ where: { id: 1 } })
          throw new Changed('my mind')
        }),
      ),
    leavesNoMark: true,
  },
  'interactive transaction that fails at a write': {
    run: ({ prisma }) =>
      caught(
        prisma.$transaction(async (tx) => {
          await tx.tag.create({ data: { label: 'pink' } })
          await tx.tag.create({ data: { label: 'red' } })
        }),
      ),
    leavesNoMark: true,
  },
  'interactive transaction that goes on after a failed write': {
    run: ({ prisma }) =>
      caught(
        prisma.$transaction(async (tx) => {
          const failed = await caught(tx.tag.create({ data: { label: 'red' } }))
          return [failed, await tx.tag.create({ data: { label: 'pink' } })]
        }),
      ),
    leavesNoMark: true,
  },
  'interactive transaction that outlasts its time': {
    run: async ({ prisma }) => {
      const work = prisma.$transaction(
        async (tx) => {
          await tx.tag.create({ data: { label: 'pink' } })
          await tx.$queryRaw`SELECT 1 AS one FROM pg_sleep(0.4)`
          await tx.tag.create({ data: { label: 'grey' } })
        },
        { timeout: 200 },
      )
      // How long it took is a part of the message.
      return work.catch((error: { code?: string }) => [error.constructor.name, error.code])
    },
    leavesNoMark: true,
  },
  'a write outside, while a transaction is open': {
    run: async ({ prisma }) => {
      const inside = caught(
        prisma.$transaction(async (tx) => {
          await tx.tag.update({ where: { id: 1 }, data: { label: 'taken back' } })
          await prisma.tag.update({ where: { id: 2 }, data: { label: 'kept' } })
          throw new Changed('my mind')
        }),
      )
      return inside
    },
  },
  'transaction in a transaction': {
    only: '7',
    run: ({ prisma }) =>
      prisma.$transaction(async (tx) => {
        const outer = await tx.tag.update({ where: { id: 1 }, data: { label: 'outer' } })
        const inner = await tx.$transaction(async (nested) =>
          nested.tag.update({ where: { id: 2 }, data: { label: 'inner' } }),
        )
        return [outer, inner, await tx.tag.update({ where: { id: 3 }, data: { label: 'after' } })]
      }),
  },
  'transaction in a transaction that is rolled back to the savepoint': {
    only: '7',
    run: ({ prisma }) =>
      prisma.$transaction(async (tx) => {
        await tx.tag.update({ where: { id: 1 }, data: { label: 'outer' } })
        const inner = await caught(
          tx.$transaction(async (nested) => {
            await nested.tag.update({ where: { id: 2 }, data: { label: 'inner' } })
            await nested.author.create({ data: fay })
            throw new Changed('my mind')
          }),
        )
        return [inner, await tx.tag.findMany({ orderBy: { id: 'asc' } })]
      }),
  },
  'transaction in a transaction, both rolled back': {
    only: '7',
    run: ({ prisma }) =>
      caught(
        prisma.$transaction(async (tx) => {
          await tx.$transaction(async (nested) => nested.tag.update({ where: { id: 2 }, data: { label: 'inner' } }))
          throw new Changed('my mind')
        }),
      ),
    leavesNoMark: true,
  },
  'savepoints by hand': {
    run: ({ prisma }) =>
      prisma.$transaction(async (tx) => {
        await tx.tag.update({ where: { id: 1 }, data: { label: 'kept' } })
        await tx.$executeRawUnsafe('SAVEPOINT here')
        await tx.tag.update({ where: { id: 2 }, data: { label: 'taken back' } })
        await tx.$executeRawUnsafe('ROLLBACK TO SAVEPOINT here')
        await tx.$executeRawUnsafe('RELEASE SAVEPOINT here')
        return tx.tag.findMany({ orderBy: { id: 'asc' } })
      }),
  },
  'two transactions on one row, one after the other': {
    run: async ({ prisma }) => {
      const wrote = gate()
      const first = prisma.$transaction(async (tx) => {
        await tx.author.update({ where: { id: 2 }, data: { name: 'First', visits: { increment: 1 } } })
        wrote.open()
        await tx.$queryRaw`SELECT 1 AS one FROM pg_sleep(0.05)`
        return tx.author.update({ where: { id: 2 }, data: { bio: 'First' } })
      })
      await wrote.opened
      const second = prisma.author.update({ where: { id: 2 }, data: { name: 'Second', visits: { increment: 1 } } })
      return Promise.all([first, second])
    },
  },
  'two transactions that cannot both be': {
    run: async ({ prisma }) => {
      const [bothRead, firstDone] = [gate(), gate()]
      let readers = 0
      const read = async (): Promise<void> => {
        readers += 1
        if (readers === 2) bothRead.open()
        await bothRead.opened
      }
      const first = prisma.$transaction(
        async (tx) => {
          await tx.author.findUnique({ where: { id: 2 } })
          await read()
          return tx.author.update({ where: { id: 2 }, data: { name: 'First' } })
        },
        { isolationLevel: 'RepeatableRead' },
      )
      const second = prisma.$transaction(
        async (tx) => {
          await tx.author.findUnique({ where: { id: 2 } })
          await read()
          await firstDone.opened
          return tx.author.update({ where: { id: 2 }, data: { name: 'Second' } })
        },
        { isolationLevel: 'RepeatableRead' },
      )
      const refused = caught(second)
      const kept = await first
      firstDone.open()
      return [kept, await refused]
    },
  },
  'many writers of one row': {
    run: async ({ prisma }) => {
      const increment = { bio: 'Counted', visits: { increment: 1 } }
      await Promise.all(Array.from({ length: 20 }, () => prisma.author.update({ where: { id: 1 }, data: increment })))
      return prisma.author.findUnique({ where: { id: 1 } })
    },
  },
  'many upserts of one new row': {
    run: async ({ prisma }) => {
      const upsert = () =>
        prisma.category.upsert({
          where: { code: 'race' },
          create: { code: 'race', title: 'Won' },
          update: { title: 'Won' },
        })
      return Promise.all(Array.from({ length: 10 }, upsert))
    },
  },
}
