import { caught, post, type Scenarios } from '../scenario.js'

const theme = { dark: true }

/** Writes of related models inside the write of another. */
export const nested: Scenarios = {
  'nested create': {
    run: ({ prisma }) =>
      prisma.author.create({
        data: { name: 'Fay', email: 'fay@example.org', profile: { create: { about: 'Short', theme } } },
        include: { profile: true },
      }),
    wholeTables: ['public.profiles'],
  },
  'nested create on the other side': {
    run: ({ prisma }) =>
      prisma.profile.create({
        data: { about: 'First', author: { create: { name: 'Fay', email: 'fay@example.org' } } },
      }),
    wholeTables: ['public.authors'],
  },
  'nested create of several': {
    run: ({ prisma }) =>
      prisma.author.update({
        where: { id: 4 },
        data: {
          name: 'Di D.',
          posts: {
            create: [
              { slug: 'six', title: 'Sixth' },
              { slug: 'seven', title: 'Seventh' },
            ],
          },
        },
        select: { name: true },
      }),
    wholeTables: ['public.blog_posts'],
  },
  'nested create, three levels deep': {
    run: ({ prisma }) =>
      prisma.author.create({
        data: {
          name: 'Fay',
          email: 'fay@example.org',
          posts: {
            create: {
              slug: 'six',
              title: 'Sixth',
              comments: { create: { no: 1, text: 'Oh', reactions: { create: { mood: 'GOOD', weight: '1.25' } } } },
            },
          },
        },
        include: { posts: { include: { comments: { include: { reactions: { orderBy: { id: 'asc' } } } } } } },
      }),
    wholeTables: ['public.blog_posts', 'public.Comment', 'lab.reactions'],
  },
  'nested createMany': {
    run: ({ prisma }) =>
      prisma.post.update({
        where: { slug: 'two' },
        data: {
          comments: { createMany: { data: [1, 2].map((no) => ({ no, text: `No. ${no}` })), skipDuplicates: true } },
        },
        include: { comments: { orderBy: { no: 'asc' } } },
      }),
    wholeTables: ['public.Comment'],
  },
  'nested update': {
    run: ({ prisma }) =>
      prisma.author.update({
        where: { id: 1 },
        data: { profile: { update: { about: 'Mathematician' } } },
        include: { profile: true },
      }),
    wholeTables: ['public.profiles'],
  },
  'nested update of the parent': {
    run: ({ prisma }) =>
      prisma.post.update({
        where: { slug: 'one' },
        data: { author: { update: { name: 'Ada L.' } } },
        select: { slug: true },
      }),
    wholeTables: ['public.authors'],
  },
  'nested update, three levels deep': {
    run: ({ prisma }) =>
      prisma.author.update({
        where: { id: 1 },
        data: {
          visits: 1,
          posts: {
            update: {
              where: { slug: 'one' },
              data: {
                comments: {
                  update: {
                    where: { postId_no: { postId: post(1), no: 1 } },
                    data: { text: 'Better', reactions: { update: { where: { id: 1n }, data: { mood: 'BAD' } } } },
                  },
                },
              },
            },
          },
        },
      }),
    wholeTables: ['public.blog_posts', 'public.Comment', 'lab.reactions'],
  },
  'nested updateMany': {
    run: ({ prisma }) =>
      prisma.author.update({
        where: { id: 1 },
        data: { posts: { updateMany: { where: { published: false }, data: { published: true } } } },
        include: { posts: { orderBy: { slug: 'asc' } } },
      }),
    wholeTables: ['public.blog_posts'],
  },
  'nested upsert': {
    run: async ({ prisma }) => [
      await prisma.author.update({
        where: { id: 1 },
        data: { profile: { upsert: { create: { about: 'Made' }, update: { about: 'Changed' } } } },
        include: { profile: true },
      }),
      await prisma.author.update({
        where: { id: 3 },
        data: { profile: { upsert: { create: { about: 'Made' }, update: { about: 'Changed' } } } },
        include: { profile: true },
      }),
    ],
    wholeTables: ['public.profiles'],
  },
  'nested upsert in a list': {
    run: ({ prisma }) =>
      prisma.author.update({
        where: { id: 1 },
        data: {
          posts: {
            upsert: [
              { where: { slug: 'one' }, create: { slug: 'one', title: 'x' }, update: { title: '1st' } },
              { where: { slug: 'six' }, create: { slug: 'six', title: 'Sixth' }, update: { title: 'x' } },
            ],
          },
        },
      }),
    wholeTables: ['public.blog_posts'],
  },
  'nested connect of children': {
    run: ({ prisma }) =>
      prisma.author.update({
        where: { id: 4 },
        data: { posts: { connect: [{ slug: 'four' }, { id: post(5) }] }, pupils: { connect: { id: 5 } } },
        include: { posts: { orderBy: { slug: 'asc' } }, pupils: true },
      }),
    wholeTables: ['public.blog_posts', 'public.authors'],
  },
  'nested connect of a parent': {
    run: ({ prisma }) =>
      prisma.post.update({
        where: { slug: 'five' },
        data: { author: { connect: { email: 'di@example.org' } }, category: { connect: { code: 'idle' } } },
        include: { author: true },
      }),
    wholeTables: ['public.authors', 'public.Category'],
  },
  'nested connect in create': {
    run: ({ prisma }) =>
      prisma.author.create({
        data: {
          name: 'Fay',
          email: 'fay@example.org',
          mentor: { connect: { id: 2 } },
          posts: { connect: { slug: 'five' } },
        },
      }),
    wholeTables: ['public.blog_posts', 'public.authors'],
  },
  'nested connect of many to many': {
    run: ({ prisma }) =>
      prisma.post.update({
        where: { slug: 'three' },
        data: { title: '3rd', tags: { connect: [{ label: 'blue' }, { id: 2 }], create: { label: 'pink' } } },
        include: { tags: { orderBy: { id: 'asc' } } },
      }),
    wholeTables: ['public.Tag'],
  },
  'nested disconnect of a child': {
    run: ({ prisma }) =>
      prisma.author.update({
        where: { id: 1 },
        data: { posts: { disconnect: { slug: 'two' } }, pupils: { disconnect: [{ id: 2 }] } },
      }),
    wholeTables: ['public.blog_posts', 'public.authors'],
  },
  'nested disconnect of a parent': {
    run: ({ prisma }) =>
      prisma.post.update({
        where: { slug: 'one' },
        data: { author: { disconnect: true }, category: { disconnect: true } },
      }),
    wholeTables: ['public.authors', 'public.Category'],
  },
  'nested disconnect of many to many': {
    run: ({ prisma }) =>
      prisma.tag.update({
        where: { id: 1 },
        data: { posts: { disconnect: { slug: 'one' } } },
        include: { posts: { orderBy: { slug: 'asc' } } },
      }),
    wholeTables: ['public.blog_posts'],
  },
  'nested set': {
    run: ({ prisma }) =>
      prisma.author.update({
        where: { id: 1 },
        data: { posts: { set: [{ slug: 'two' }, { slug: 'five' }] } },
        include: { posts: { orderBy: { slug: 'asc' } } },
      }),
    wholeTables: ['public.blog_posts'],
  },
  'nested set to none': {
    run: ({ prisma }) => prisma.author.update({ where: { id: 1 }, data: { posts: { set: [] }, pupils: { set: [] } } }),
    wholeTables: ['public.blog_posts', 'public.authors'],
  },
  'nested set of many to many': {
    run: ({ prisma }) => prisma.post.update({ where: { slug: 'one' }, data: { tags: { set: [{ id: 3 }] } } }),
    wholeTables: ['public.Tag'],
  },
  'nested connectOrCreate': {
    run: ({ prisma }) =>
      prisma.post.create({
        data: {
          slug: 'six',
          title: 'Sixth',
          author: { connectOrCreate: { where: { id: 999 }, create: { name: 'Fay', email: 'fay@example.org' } } },
          category: { connectOrCreate: { where: { code: 'tech' }, create: { code: 'tech', title: 'x' } } },
          tags: {
            connectOrCreate: ['red', 'pink'].map((label) => ({ where: { label }, create: { label } })),
          },
        },
        include: { author: true, category: true, tags: { orderBy: { label: 'asc' } } },
      }),
    wholeTables: ['public.authors', 'public.Category', 'public.Tag'],
  },
  'nested delete': {
    run: ({ prisma }) =>
      prisma.author.update({
        where: { id: 1 },
        data: { profile: { delete: true }, posts: { delete: { slug: 'two' } } },
      }),
    wholeTables: ['public.profiles', 'public.blog_posts', 'public.Comment', 'lab.reactions'],
  },
  'nested deleteMany': {
    run: ({ prisma }) =>
      prisma.post.update({
        where: { slug: 'one' },
        data: { comments: { deleteMany: [{ no: 1 }, { text: 'Bad' }] } },
        include: { comments: { orderBy: { no: 'asc' } } },
      }),
    wholeTables: ['public.Comment', 'lab.reactions'],
  },
  'nested deleteMany of all': {
    run: ({ prisma }) =>
      prisma.author.update({
        where: { id: 1 },
        data: { posts: { deleteMany: {} } },
        include: { posts: { orderBy: { slug: 'asc' } } },
      }),
    wholeTables: ['public.blog_posts', 'public.Comment', 'lab.reactions'],
  },
  'nested writes in upsert': {
    run: async ({ prisma }) => {
      const upsert = (email: string) =>
        prisma.author.upsert({
          where: { email },
          create: { name: 'Fay', email, profile: { create: { about: 'Created' } } },
          update: { name: 'Updated', profile: { update: { about: 'Updated' } } },
          select: { name: true, profile: { select: { about: true } } },
        })
      return [await upsert('fay@example.org'), await upsert('ada@example.org')]
    },
    wholeTables: ['public.profiles'],
  },
  'nested write of a model that is not mapped, in one that is': {
    run: ({ prisma }) =>
      prisma.post.update({ where: { slug: 'two' }, data: { tags: { connect: { id: 3 } }, body: 'Tagged' } }),
    wholeTables: ['public.Tag'],
  },
  'nested write that fails': {
    run: ({ prisma }) =>
      caught(
        prisma.author.create({
          data: {
            name: 'Fay',
            email: 'fay@example.org',
            posts: {
              create: [
                { slug: 'six', title: 'x' },
                { slug: 'one', title: 'x' },
              ],
            },
          },
        }),
      ),
    leavesNoMark: true,
  },
  'nested write in what is not there': {
    run: ({ prisma }) =>
      caught(prisma.author.update({ where: { id: 3 }, data: { name: 'Cyd', profile: { update: { about: 'None' } } } })),
    leavesNoMark: true,
  },
}
