import { post, type Scenarios } from '../scenario.js'

/** Keys that change, and what foreign keys do of themselves. */
export const keys: Scenarios = {
  'delete that cascades': {
    run: ({ prisma }) => prisma.post.delete({ where: { slug: 'one' } }),
    wholeTables: ['public.Comment', 'lab.reactions'],
  },
  'delete that sets to null, and cascades': {
    run: ({ prisma }) =>
      prisma.author.delete({ where: { id: 1 }, include: { posts: { orderBy: { slug: 'asc' } }, profile: true } }),
    wholeTables: ['public.authors', 'public.profiles', 'public.blog_posts', 'public.Comment'],
  },
  'deleteMany that sets to null': {
    run: ({ prisma }) => prisma.category.deleteMany({ where: { code: { in: ['tech', 'idle'] } } }),
    wholeTables: ['public.blog_posts'],
    goneIsScanned: true,
  },
  'delete of many to many': {
    run: ({ prisma }) => prisma.tag.delete({ where: { id: 1 }, include: { posts: { orderBy: { slug: 'asc' } } } }),
  },
  'update of a primary key': { run: ({ prisma }) => prisma.tag.update({ where: { id: 3 }, data: { id: 33 } }) },
  'update of a primary key, and no key selected': {
    run: ({ prisma }) =>
      prisma.author.update({ where: { id: 5 }, data: { id: 55, name: 'Edd' }, select: { name: true } }),
    wholeTables: [],
    goneIsScanned: true,
  },
  'update of a primary key that cascades': {
    run: ({ prisma }) =>
      prisma.category.update({
        where: { code: 'tech' },
        data: { code: 'technology' },
        include: { posts: { orderBy: { slug: 'asc' } } },
      }),
    wholeTables: ['public.blog_posts'],
    goneIsScanned: true,
  },
  'update of a primary key that cascades over two levels': {
    run: ({ prisma }) => prisma.post.update({ where: { id: post(1) }, data: { id: post(9) }, select: { id: true } }),
    wholeTables: ['public.Comment', 'lab.reactions'],
    goneIsScanned: true,
  },
  'update of a part of a key': {
    run: ({ prisma }) =>
      prisma.comment.update({ where: { postId_no: { postId: post(1), no: 3 } }, data: { no: 30, text: 'Moved' } }),
    wholeTables: ['lab.reactions'],
    goneIsScanned: true,
  },
  'update of a key that others refer to': {
    run: ({ prisma }) => prisma.author.update({ where: { email: 'bo@example.org' }, data: { id: 222 } }),
    wholeTables: ['public.profiles', 'public.blog_posts', 'public.Comment'],
    goneIsScanned: true,
  },
  'update of a column that another object is named after': {
    run: ({ prisma }) => prisma.author.update({ where: { id: 2 }, data: { email: 'bob@example.org' } }),
    goneIsScanned: true,
  },
  'updateMany of primary keys': {
    run: ({ prisma }) => prisma.tag.updateMany({ where: { id: { gt: 1 } }, data: { id: { increment: 50 } } }),
  },
  'updateMany of primary keys that cascades': {
    run: ({ prisma }) => prisma.comment.updateMany({ where: { postId: post(1) }, data: { no: { increment: 10 } } }),
    wholeTables: ['lab.reactions'],
    goneIsScanned: true,
  },
  'updateManyAndReturn of primary keys': {
    run: ({ prisma }) =>
      prisma.tag.updateManyAndReturn({ where: { id: 3 }, data: { id: 44 }, select: { label: true } }),
  },
  'upsert that updates a primary key': {
    run: ({ prisma }) => prisma.tag.upsert({ where: { id: 3 }, create: { label: 'pink' }, update: { id: 34 } }),
  },
  'delete and create under one key': {
    run: ({ prisma }) =>
      prisma.$transaction(async (tx) => {
        await tx.author.delete({ where: { id: 5 } })
        return tx.author.create({ data: { id: 5, name: 'Eda', email: 'eda@example.org' } })
      }),
    wholeTables: [],
  },
  'two rows that change their keys': {
    run: ({ prisma }) =>
      prisma.$transaction([
        prisma.tag.update({ where: { id: 2 }, data: { id: 99 } }),
        prisma.tag.update({ where: { id: 3 }, data: { id: 2 } }),
        prisma.tag.update({ where: { id: 99 }, data: { id: 3 } }),
      ]),
  },
}
