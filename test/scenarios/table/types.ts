import type { Prisma } from '../generated/client.js'
import type { Scenarios } from '../scenario.js'

const everything: Prisma.SampleCreateManyInput = {
  big: 9223372036854775807n,
  amount: '-0.0000000001',
  ratio: 1e-7,
  small: -32768,
  flag: true,
  bytes: new Uint8Array([0, 1, 254, 255]),
  mood: 'BAD',
  moods: ['GOOD', 'BAD'],
  words: ['', 'a,b', '{"}', "it's", 'NULL'],
  counts: [1, -1],
  amounts: ['1.50', '2'],
  data: { z: 1, a: [true, null, 'x', { n: 1.5 }] },
  day: new Date('2000-02-29'),
  clock: new Date('1970-01-01T23:59:59Z'),
  at: new Date('2020-01-02T03:04:05.678Z'),
  local: new Date('2020-01-02T03:04:05.678Z'),
  uid: 'aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee',
  address: '2001:db8::1',
  secret: 'kept',
}

/** Rows with a column of each type; their keys are beyond what a JavaScript number can hold. */
export const types: Scenarios = {
  'create with every type': { run: ({ prisma }) => prisma.sample.create({ data: everything }) },
  'create with every type, and no key selected': {
    run: ({ prisma }) => prisma.sample.create({ data: everything, omit: { id: true } }),
  },
  'createMany with every type': {
    run: ({ prisma }) => prisma.sample.createMany({ data: [everything, { secret: 'x' }] }),
  },
  'createManyAndReturn with every type': {
    run: ({ prisma }) =>
      prisma.sample.createManyAndReturn({
        data: [everything, {}],
        select: { big: true, amount: true, bytes: true, data: true, at: true, moods: true },
      }),
  },
  'update with every type': { run: ({ prisma }) => prisma.sample.update({ where: { id: 2 }, data: everything }) },
  'update of the other column of a row with every type': {
    run: ({ prisma }) => prisma.sample.update({ where: { id: 1 }, data: { secret: null } }),
  },
  'update of lists': {
    run: ({ prisma }) =>
      prisma.sample.update({
        where: { id: 1 },
        data: { words: { push: ['d'] }, counts: { set: [] }, amounts: { push: '0.01' }, moods: [] },
        select: { words: true, counts: true, amounts: true, moods: true },
      }),
  },
  'update by arithmetic': {
    run: ({ prisma }) =>
      prisma.sample.update({
        where: { id: 1 },
        data: { big: { decrement: 1 }, amount: { multiply: 2 }, small: { increment: 1 }, ratio: { divide: 2 } },
      }),
  },
  'update of Json': {
    run: async ({ prisma, Prisma }) => [
      await prisma.sample.update({ where: { id: 1 }, data: { data: Prisma.JsonNull }, select: { data: true } }),
      await prisma.sample.update({ where: { id: 2 }, data: { data: ['a'] }, select: { data: true } }),
      await prisma.sample.update({ where: { id: 1 }, data: { data: Prisma.DbNull }, select: { data: true } }),
    ],
  },
  'updateManyAndReturn with every type': {
    run: ({ prisma }) =>
      prisma.sample.updateManyAndReturn({
        where: { flag: true },
        data: { data: { now: 1 }, at: null },
        omit: { id: true },
      }),
  },
  'upsert with every type': {
    run: ({ prisma }) => prisma.sample.upsert({ where: { id: 2 }, create: everything, update: everything }),
  },
  'delete with every type': { run: ({ prisma }) => prisma.sample.delete({ where: { id: 1 } }) },
  'a mapped enum': {
    run: ({ prisma }) =>
      prisma.author.update({ where: { id: 1 }, data: { role: 'READER' }, select: { role: true, mentor: true } }),
  },
}
