import { caught, inAnyOrder, post, type Scenarios } from '../scenario.js'

const fay = { name: 'Fay', email: 'fay@example.org', role: 'EDITOR' } as const

/** Writes of one model, without anything nested in them. */
export const topLevel: Scenarios = {
  create: { run: ({ prisma }) => prisma.author.create({ data: { ...fay, bio: 'New', mentorId: 1 } }) },
  'create with a key of its own': {
    run: ({ prisma }) => prisma.author.create({ data: { id: 77, ...fay } }),
  },
  'create with a key that Prisma makes': {
    run: ({ prisma }) => prisma.post.create({ data: { slug: 'six', title: 'Sixth' } }),
  },
  'create that selects no key': { run: ({ prisma }) => prisma.author.create({ data: fay, select: { name: true } }) },
  'create that selects the key last': {
    run: ({ prisma }) => prisma.author.create({ data: fay, select: { visits: true, name: true, id: true } }),
  },
  'create that selects relations alone': {
    run: ({ prisma }) =>
      prisma.post.create({
        data: { slug: 'six', title: 'Sixth', authorId: 1 },
        select: { author: { select: { name: true, _count: { select: { posts: true } } } } },
      }),
  },
  'create that omits the key': {
    run: ({ prisma }) => prisma.author.create({ data: fay, omit: { id: true, bio: true } }),
  },
  'create that includes relations': {
    run: ({ prisma }) =>
      prisma.author.create({
        data: { ...fay, mentorId: 2 },
        include: { mentor: { include: { profile: true } }, posts: { orderBy: { slug: 'asc' } }, _count: true },
      }),
  },
  'create that omits the key and includes relations': {
    run: ({ prisma }) =>
      prisma.author.create({
        data: { ...fay, mentorId: 2 },
        omit: { id: true, email: true },
        include: { mentor: true },
      }),
  },
  'create, then on to a relation': {
    run: ({ prisma }) => prisma.post.create({ data: { slug: 'six', title: 'Sixth', authorId: 2 } }).author(),
  },
  'create, then on to a relation of the relation': {
    run: ({ prisma }) =>
      prisma.post
        .create({ data: { slug: 'six', title: 'Sixth', authorId: 2 } })
        .author()
        .mentor({ select: { name: true } }),
  },
  'create of a model that is not mapped': {
    run: ({ prisma }) => prisma.log.create({ data: { line: 'hello' } }),
    leavesNoMark: true,
  },
  'create with a key of two columns': {
    run: ({ prisma }) =>
      prisma.comment.create({ data: { postId: post(2), no: 1, text: 'First!' }, select: { text: true } }),
  },
  createMany: {
    run: ({ prisma }) =>
      prisma.author.createMany({ data: [fay, { name: 'Gus', email: 'gus@example.org', bio: '-', visits: 3 }] }),
  },
  'createMany of one': { run: ({ prisma }) => prisma.author.createMany({ data: fay }) },
  'createMany of none': { run: ({ prisma }) => prisma.author.createMany({ data: [] }), leavesNoMark: true },
  'createMany that skips what is there': {
    run: ({ prisma }) =>
      prisma.author.createMany({ data: [fay, { name: 'Not Ada', email: 'ada@example.org' }], skipDuplicates: true }),
  },
  'createMany where all is there': {
    run: ({ prisma }) => prisma.tag.createMany({ data: [{ label: 'red' }, { label: 'blue' }], skipDuplicates: true }),
    leavesNoMark: true,
  },
  'createMany with a key of two columns': {
    run: ({ prisma }) =>
      prisma.comment.createMany({
        data: [1, 2, 3].map((no) => ({ postId: post(4), no, text: `No. ${no}`, authorId: no })),
      }),
  },
  'createMany of 2,000': {
    run: ({ prisma }) =>
      prisma.tag.createMany({ data: Array.from({ length: 2_000 }, (_, n) => ({ id: 1_000 + n, label: `tag ${n}` })) }),
  },
  createManyAndReturn: {
    run: ({ prisma }) => prisma.author.createManyAndReturn({ data: [fay, { name: 'Gus', email: 'gus@example.org' }] }),
  },
  'createManyAndReturn that selects no key': {
    run: ({ prisma }) =>
      prisma.author.createManyAndReturn({
        data: [fay, { name: 'Gus', email: 'gus@example.org' }],
        select: { email: true, role: true },
      }),
  },
  'createManyAndReturn that omits the key': {
    run: ({ prisma }) =>
      prisma.post.createManyAndReturn({
        data: [
          { slug: 'six', title: 'Sixth', authorId: 1 },
          { slug: 'seven', title: 'Seventh' },
        ],
        omit: { id: true, body: true },
      }),
  },
  'createManyAndReturn that includes a relation': {
    run: ({ prisma }) =>
      prisma.post.createManyAndReturn({
        data: [{ slug: 'six', title: 'Sixth', authorId: 1, categoryCode: 'idle' }],
        include: { author: true, category: { select: { title: true } } },
      }),
  },
  'createManyAndReturn that skips what is there': {
    run: ({ prisma }) =>
      prisma.tag.createManyAndReturn({ data: [{ label: 'red' }, { label: 'pink' }], skipDuplicates: true }),
  },
  update: { run: ({ prisma }) => prisma.author.update({ where: { id: 2 }, data: { name: 'Bob' } }) },
  'update by another unique column': {
    run: ({ prisma }) => prisma.author.update({ where: { email: 'bo@example.org' }, data: { bio: 'Now with words' } }),
  },
  'update of a column that is not mapped': {
    run: ({ prisma }) => prisma.author.update({ where: { id: 2 }, data: { visits: { increment: 1 } } }),
  },
  'update to what is there': { run: ({ prisma }) => prisma.author.update({ where: { id: 2 }, data: { name: 'Bo' } }) },
  'update of nothing': { run: ({ prisma }) => prisma.author.update({ where: { id: 2 }, data: {} }) },
  'update to null': {
    run: ({ prisma }) => prisma.author.update({ where: { id: 1 }, data: { bio: null, mentorId: null } }),
  },
  'update that selects no key': {
    run: ({ prisma }) => prisma.author.update({ where: { id: 2 }, data: { role: 'READER' }, select: { role: true } }),
  },
  'update that omits the key': {
    run: ({ prisma }) => prisma.post.update({ where: { slug: 'two' }, data: { published: true }, omit: { id: true } }),
  },
  'update that includes relations': {
    run: ({ prisma }) =>
      prisma.post.update({
        where: { id: post(1) },
        data: { title: { set: '1st' } },
        include: {
          comments: { orderBy: { no: 'desc' }, take: 2, include: { reactions: { orderBy: { id: 'asc' } } } },
          tags: { orderBy: { id: 'asc' } },
          author: true,
        },
      }),
  },
  'update, then on to a relation': {
    run: ({ prisma }) =>
      prisma.author.update({ where: { id: 1 }, data: { name: 'A.' } }).posts({ orderBy: { slug: 'asc' } }),
  },
  'update where more has to hold': {
    run: ({ prisma }) => prisma.author.update({ where: { id: 2, name: 'Bo', visits: 0 }, data: { name: 'Bob' } }),
  },
  'update where more does not hold': {
    run: ({ prisma }) => caught(prisma.author.update({ where: { id: 2, name: 'Not Bo' }, data: { name: 'Bob' } })),
    leavesNoMark: true,
  },
  'update by a relation': {
    run: ({ prisma }) =>
      prisma.post.update({ where: { id: post(1), author: { name: 'Ada' } }, data: { body: 'Twice upon a time' } }),
  },
  'update of what is not there': {
    run: ({ prisma }) => caught(prisma.author.update({ where: { id: 999 }, data: { name: 'No one' } })),
    leavesNoMark: true,
  },
  'update with a key of two columns': {
    run: ({ prisma }) =>
      prisma.comment.update({
        where: { postId_no: { postId: post(1), no: 2 } },
        data: { text: 'Not so bad' },
        select: { likes: true },
      }),
  },
  updateMany: { run: ({ prisma }) => prisma.author.updateMany({ where: { role: 'WRITER' }, data: { bio: 'Works' } }) },
  'updateMany of all': { run: ({ prisma }) => prisma.comment.updateMany({ data: { text: 'Removed' } }) },
  'updateMany of a column that is not mapped': {
    run: ({ prisma }) => prisma.author.updateMany({ data: { visits: { increment: 1 } } }),
  },
  'updateMany by a relation': {
    run: ({ prisma }) => prisma.post.updateMany({ where: { author: { name: 'Ada' } }, data: { published: false } }),
  },
  'updateMany of the column that it is chosen by': {
    run: ({ prisma }) => prisma.author.updateMany({ where: { name: 'Bo' }, data: { name: 'Bob' } }),
  },
  'updateMany that finds nothing': {
    run: ({ prisma }) => prisma.author.updateMany({ where: { name: 'No one' }, data: { bio: 'Nothing' } }),
    leavesNoMark: true,
  },
  'updateMany with a limit': {
    run: ({ prisma }) => prisma.post.updateMany({ where: { published: false }, data: { published: true }, limit: 5 }),
  },
  updateManyAndReturn: {
    run: ({ prisma }) =>
      inAnyOrder(prisma.author.updateManyAndReturn({ where: { role: 'WRITER' }, data: { bio: 'Works' } })),
  },
  'updateManyAndReturn that selects no key': {
    run: ({ prisma }) =>
      prisma.author.updateManyAndReturn({
        where: { id: { in: [2, 3] } },
        data: { bio: 'Works' },
        select: { bio: true },
      }),
  },
  'updateManyAndReturn that omits the key and includes a relation': {
    run: ({ prisma }) =>
      prisma.post.updateManyAndReturn({
        where: { authorId: 2 },
        data: { title: 'By Bo' },
        omit: { id: true },
        include: { author: true },
      }),
  },
  'upsert that creates': {
    run: ({ prisma }) =>
      prisma.tag.upsert({ where: { label: 'pink' }, create: { label: 'pink' }, update: { label: 'rosa' } }),
  },
  'upsert that updates': {
    run: ({ prisma }) =>
      prisma.tag.upsert({ where: { label: 'red' }, create: { label: 'red' }, update: { label: 'rot' } }),
  },
  'upsert that creates after it has looked': {
    run: ({ prisma }) =>
      prisma.author.upsert({
        where: { email: 'fay@example.org', name: 'Fay' },
        create: fay,
        update: { bio: 'Known' },
        include: { posts: { orderBy: { slug: 'asc' } } },
      }),
  },
  'upsert that updates after it has looked': {
    run: ({ prisma }) =>
      prisma.author.upsert({
        where: { id: 2, name: 'Bo' },
        create: fay,
        update: { bio: 'Known' },
        select: { bio: true, mentor: { select: { name: true } } },
      }),
  },
  'upsert that changes nothing': {
    run: ({ prisma }) => prisma.author.upsert({ where: { id: 1 }, create: fay, update: {} }),
  },
  'upsert with a key of two columns': {
    run: ({ prisma }) =>
      Promise.all(
        [1, 9].map((no) =>
          prisma.comment.upsert({
            where: { postId_no: { postId: post(1), no } },
            create: { postId: post(1), no, text: 'Created' },
            update: { text: 'Updated' },
          }),
        ),
      ),
  },
  'upsert, then on to a relation': {
    run: ({ prisma }) =>
      prisma.post
        .upsert({ where: { slug: 'two' }, create: { slug: 'two', title: 'x' }, update: { title: '2nd' } })
        .category(),
  },
  delete: { run: ({ prisma }) => prisma.author.delete({ where: { id: 5 } }), wholeTables: [] },
  'delete that selects no key': {
    run: ({ prisma }) => prisma.author.delete({ where: { email: 'ed@example.org' }, select: { name: true } }),
    wholeTables: [],
  },
  'delete that omits the key': {
    run: ({ prisma }) => prisma.post.delete({ where: { slug: 'five' }, omit: { id: true } }),
    wholeTables: [],
  },
  'delete that includes relations': {
    run: ({ prisma }) =>
      prisma.post.delete({ where: { slug: 'four' }, include: { author: true, comments: { orderBy: { no: 'asc' } } } }),
    wholeTables: [],
  },
  'delete, then on to a relation': {
    run: ({ prisma }) => prisma.post.delete({ where: { slug: 'four' } }).author(),
    wholeTables: [],
  },
  'delete of what leaves no trace': { run: ({ prisma }) => prisma.profile.delete({ where: { id: 2 } }) },
  'delete of what is not there': {
    run: ({ prisma }) => caught(prisma.author.delete({ where: { id: 999 } })),
    leavesNoMark: true,
  },
  'delete with a key of two columns': {
    run: ({ prisma }) =>
      prisma.comment.delete({ where: { postId_no: { postId: post(1), no: 3 } }, select: { text: true } }),
    wholeTables: [],
  },
  deleteMany: {
    run: ({ prisma }) => prisma.post.deleteMany({ where: { slug: { in: ['four', 'five'] } } }),
    wholeTables: [],
    goneIsScanned: true,
  },
  'deleteMany of all': {
    run: ({ prisma }) => prisma.comment.deleteMany(),
    wholeTables: ['lab.reactions'],
    goneIsScanned: true,
  },
  'deleteMany of at most one': {
    run: ({ prisma }) => prisma.author.deleteMany({ where: { id: 5 }, limit: 1 }),
    wholeTables: [],
    goneIsScanned: true,
  },
  'deleteMany by a relation': {
    run: ({ prisma }) => prisma.comment.deleteMany({ where: { author: { name: 'Cy' } } }),
    wholeTables: ['lab.reactions'],
    goneIsScanned: true,
  },
  'deleteMany that finds nothing': {
    run: ({ prisma }) => prisma.author.deleteMany({ where: { name: 'No one' } }),
    leavesNoMark: true,
  },
  'create, read, update and delete of one row': {
    run: async ({ prisma }) => {
      const { id } = await prisma.tag.create({ data: { label: 'brief' } })
      const read = await prisma.tag.findMany({ where: { id } })
      const updated = await prisma.tag.update({ where: { id }, data: { label: 'briefer' } })
      return [read, updated, await prisma.tag.delete({ where: { id } })]
    },
  },
  reads: {
    run: async ({ prisma }) => [
      await prisma.author.findMany({
        include: { posts: { include: { tags: { orderBy: { id: 'asc' } } }, orderBy: { id: 'asc' } } },
        orderBy: { id: 'asc' },
      }),
      await prisma.author.findUnique({ where: { id: 1 } }).profile(),
      await prisma.post.aggregate({ _sum: { views: true }, _count: true }),
      await prisma.post.groupBy({ by: ['categoryCode'], _count: true, orderBy: { categoryCode: 'asc' } }),
      await prisma.comment.count(),
      await caught(prisma.author.findUniqueOrThrow({ where: { id: 999 } })),
    ],
    leavesNoMark: true,
  },
}
