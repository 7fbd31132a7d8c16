import { caught, post, type Scenario, type Scenarios } from '../scenario.js'

const fails = (run: Scenario['run']): Scenario => ({ run: (context) => caught(run(context)), leavesNoMark: true })

/** Writes that fail: the caller gets the error that the plain client throws. */
export const failures: Scenarios = {
  'create of what is there': fails(({ prisma }) =>
    prisma.author.create({ data: { name: 'x', email: 'ada@example.org' } }),
  ),
  'create under a key that is taken': fails(({ prisma }) =>
    prisma.category.create({ data: { code: 'news', title: 'x' } }),
  ),
  'create without its parent': fails(({ prisma }) => prisma.profile.create({ data: { about: 'x', authorId: 999 } })),
  'create of what does not fit the model': fails(({ prisma }) => prisma.author.create({ data: { name: 1 } as never })),
  'create with an unknown field': fails(({ prisma }) => prisma.author.create({ data: { nome: 'x' } as never })),
  'create with select and omit': fails(({ prisma }) =>
    prisma.tag.create({ data: { label: 'x' }, select: { id: true }, omit: { label: true } } as never),
  ),
  'create that selects nothing': fails(({ prisma }) => prisma.tag.create({ data: { label: 'x' }, select: {} })),
  'create that selects what is not there': fails(({ prisma }) =>
    prisma.tag.create({ data: { label: 'x' }, select: { name: true } as never }),
  ),
  'create that is too long': fails(({ prisma }) =>
    prisma.sample.create({ data: { amount: '1234567890123456789012345678901' } }),
  ),
  'createMany of what is there': fails(({ prisma }) =>
    prisma.tag.createMany({ data: [{ label: 'pink' }, { label: 'red' }] }),
  ),
  'createManyAndReturn of what is there': fails(({ prisma }) =>
    prisma.tag.createManyAndReturn({ data: [{ label: 'pink' }, { label: 'red' }], select: { label: true } }),
  ),
  'createMany with a nested write': fails(({ prisma }) =>
    prisma.author.createMany({
      data: { name: 'x', email: 'x', posts: { create: { slug: 'x', title: 'x' } } } as never,
    }),
  ),
  'update to what is there': fails(({ prisma }) =>
    prisma.author.update({ where: { id: 2 }, data: { email: 'ada@example.org' } }),
  ),
  'update without a where': fails(({ prisma }) => prisma.author.update({ data: { name: 'x' } } as never)),
  'update by what is not unique': fails(({ prisma }) =>
    prisma.author.update({ where: { name: 'Bo' } as never, data: { name: 'x' } }),
  ),
  'update to an enum value that is not there': fails(({ prisma }) =>
    prisma.author.update({ where: { id: 1 }, data: { role: 'KING' as never } }),
  ),
  'updateMany to what is there': fails(({ prisma }) =>
    prisma.author.updateMany({ data: { email: 'same@example.org' } }),
  ),
  'updateMany of an unknown field': fails(({ prisma }) => prisma.author.updateMany({ data: { nome: 'x' } as never })),
  'update of a key to one that is taken': fails(({ prisma }) =>
    prisma.tag.update({ where: { id: 1 }, data: { id: 2 } }),
  ),
  'upsert with a failing create': fails(({ prisma }) =>
    prisma.profile.upsert({ where: { id: 99 }, create: { about: 'x', authorId: 1 }, update: {} }),
  ),
  'nested connect to what is not there': fails(({ prisma }) =>
    prisma.post.update({ where: { slug: 'one' }, data: { author: { connect: { id: 999 } } } }),
  ),
  'delete by what is not unique': fails(({ prisma }) => prisma.post.delete({ where: { title: 'First' } as never })),
  'create under a key of two columns that is taken': fails(({ prisma }) =>
    prisma.comment.create({ data: { postId: post(1), no: 1, text: 'taken' } }),
  ),
}
