import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startEmulator } from '../../src/emulator/index.js'
import { migrate } from '../../src/pipeline.js'
import { type Connected, connect, type PrismaClient } from '../scenarios/clients.js'
import {
  createScenarioDatabase,
  keepTruth,
  markAllSql,
  type ScenarioDatabase,
  type Truth,
} from '../scenarios/database.js'
import { type Delivered, expectSent, settled } from '../scenarios/delivered.js'
import { describeResult, steadyRows } from '../scenarios/describe-result.js'
import { expectMarked } from '../scenarios/marks.js'
import { caught, post } from '../scenarios/scenario.js'
import { scenarioSync } from '../scenarios/sync.js'
import { type LogLine, memoryLogger } from '../support/memory-logger.js'

/** An extension as applications have them. */
type Other = (prisma: PrismaClient) => PrismaClient

const extended = (client: unknown): PrismaClient => client as PrismaClient

/** Computed fields, one of which needs the key. */
const computed: Other = (prisma) =>
  extended(
    prisma.$extends({
      result: {
        author: {
          path: { needs: { id: true, name: true }, compute: ({ id, name }) => `/authors/${id}/${name.toLowerCase()}` },
          loud: { needs: { name: true }, compute: ({ name }) => name.toUpperCase() },
        },
        comment: {
          anchor: { needs: { postId: true, no: true }, compute: ({ postId, no }) => `${postId}#${no}` },
        },
      },
    }),
  )

/** A delete becomes an update; asked of the client that is extended, as the extensions of this kind do. */
const softDelete: Other = (prisma) =>
  extended(
    prisma.$extends({
      query: {
        author: {
          delete: ({ args }) => prisma.author.update({ where: args.where, data: { bio: 'deleted' } }) as never,
          deleteMany: ({ args }) =>
            prisma.author.updateMany({ where: args.where ?? {}, data: { bio: 'deleted' } }) as never,
          findMany: ({ args, query }) =>
            query({ ...args, where: { ...args.where, OR: [{ bio: null }, { bio: { not: 'deleted' } }] } }),
        },
      },
    }),
  )

/** Prisma's documented pattern: every operation in a batch, after the setting that the policy reads. */
const rowLevelSecurity: Other = (prisma) =>
  extended(
    prisma.$extends({
      query: {
        $allModels: {
          async $allOperations({ args, query }) {
            const [, result] = await prisma.$transaction([
              prisma.$executeRaw`SELECT set_config('app.domain', ${'example.org'}, TRUE)`,
              query(args) as never,
            ])
            return result
          },
        },
      },
    }),
  )

const policySql = `
  ALTER TABLE "authors" ENABLE ROW LEVEL SECURITY;
  ALTER TABLE "authors" FORCE ROW LEVEL SECURITY;
  CREATE POLICY "own" ON "authors" USING ("email" LIKE '%@' || current_setting('app.domain', TRUE));
  INSERT INTO "authors" ("id", "email", "full_name") VALUES (70, 'spy@example.com', 'Spy');`

interface Case {
  readonly other: Other
  /** One write after another. */
  readonly writes: (prisma: PrismaClient) => Promise<unknown>
  readonly refusedBeforeOurs: boolean
}

const fay = { name: 'Fay', email: 'fay@example.org' }

const cases: Readonly<Record<string, Case>> = {
  'a result extension': {
    other: computed,
    refusedBeforeOurs: false,
    async writes(prisma) {
      // The computed fields are not in the types here.
      const select = (fields: object) => ({ select: fields as never })
      return [
        await prisma.author.create({ data: fay }),
        await prisma.author.create({ data: { name: 'Gus', email: 'gus@example.org' }, ...select({ path: true }) }),
        await prisma.author.update({ where: { id: 2 }, data: { name: 'Bob' }, ...select({ loud: true, email: true }) }),
        await prisma.author.update({ where: { id: 2 }, data: { name: 'Bo' }, omit: { id: true } }),
        await prisma.author.updateManyAndReturn({ where: { id: 3 }, data: { name: 'Cyd' }, ...select({ path: true }) }),
        await prisma.author.upsert({
          where: { id: 4 },
          create: fay,
          update: { name: 'Dee' },
          ...select({ loud: true }),
        }),
        await prisma.comment.create({ data: { postId: post(4), no: 1, text: 'x' }, ...select({ anchor: true }) }),
        await prisma.author.delete({ where: { id: 5 }, ...select({ loud: true }) }),
        await prisma.author.createMany({ data: [{ name: 'Hal', email: 'hal@example.org' }] }),
        await prisma.$transaction([
          prisma.author.update({ where: { id: 1 }, data: { bio: '1' } }),
          prisma.author.count(),
        ]),
        await prisma.$transaction(async (tx) => tx.author.update({ where: { id: 1 }, data: { bio: '2' } })),
        await prisma.author.findMany({ orderBy: { id: 'asc' } }),
      ]
    },
  },
  'a soft delete extension': {
    other: softDelete,
    refusedBeforeOurs: true,
    async writes(prisma) {
      return [
        await prisma.author.delete({ where: { id: 5 } }),
        await prisma.author.deleteMany({ where: { id: { in: [3, 4] } } }),
        await prisma.author.findMany({ orderBy: { id: 'asc' } }),
        await prisma.author.create({ data: fay }),
        await prisma.comment.delete({ where: { postId_no: { postId: post(1), no: 3 } } }),
        await caught(prisma.author.delete({ where: { id: 999 } })),
      ]
    },
  },
  'a row-level security extension': {
    other: rowLevelSecurity,
    refusedBeforeOurs: true,
    async writes(prisma) {
      return [
        await prisma.author.create({ data: fay, select: { name: true } }),
        await caught(prisma.author.create({ data: { name: 'x', email: 'x@example.com' } }).catch(codeOf)),
        await prisma.author.update({ where: { id: 2 }, data: { name: 'Bob' }, omit: { id: true } }),
        await prisma.author.updateMany({ data: { bio: 'same' } }),
        await caught(prisma.author.update({ where: { id: 70 }, data: { name: 'Caught' } }).catch(codeOf)),
        await prisma.author.createMany({ data: [{ name: 'Gus', email: 'gus@example.org' }] }),
        await prisma.author.delete({ where: { id: 5 } }),
        await prisma.post.update({ where: { slug: 'one' }, data: { title: '1st', views: 7 } }),
        await prisma.post.update({ where: { slug: 'two' }, data: { comments: { create: { no: 1, text: 'x' } } } }),
        await prisma.author.findMany({ orderBy: { id: 'asc' } }),
      ]
    },
  },
}

/** Where an error is made is a part of its words, and of no matter here. */
const codeOf = (error: { code?: string }): unknown => ({ refused: error.code })

interface Rig extends Omit<Delivered, 'prisma'> {
  readonly plain: ScenarioDatabase
  readonly plainClient: Connected
  readonly client: Connected
  readonly truth: Truth
  extend(prisma: PrismaClient): PrismaClient
  close(): Promise<void>
}

describe.each(['6.19', '7'] as const)('Prisma %s', (version) => {
  describe.each(['trigger', 'client'] as const)('capture: %s', (capture) => {
    let rig: Rig
    beforeAll(async () => {
      rig = await createRig()
    })
    afterAll(() => rig.close())

    async function createRig(): Promise<Rig> {
      const [plain, database] = [await createScenarioDatabase(), await createScenarioDatabase()]
      const emulator = await startEmulator({ keepHistory: false })
      const log: LogLine[] = []
      // Superusers are not held by policies.
      const role = `app_${randomBytes(4).toString('hex')}`
      await database.db.query(`CREATE ROLE ${role} LOGIN PASSWORD 'app'`)
      const as = (url: string): string => url.replace(/\/\/[^@]*@/, `//${role}:app@`)
      const client = connect(version, as(database.url))
      const sync = scenarioSync(client.prisma, { capture, deliver: 'inline', delivery: { maxBatchAgeMs: 2 } })
      const given = {
        resolved: sync.resolved,
        databaseUrl: database.url,
        apiKey: emulator.apiKey,
        baseUrl: emulator.url,
        logger: memoryLogger(log),
      }
      await migrate(given)
      const truth = await keepTruth(database)
      for (const { db } of [plain, database]) {
        await db.query(`
          GRANT USAGE ON SCHEMA public, lab TO ${role};
          GRANT ALL ON ALL TABLES IN SCHEMA public, lab TO ${role};
          GRANT ALL ON ALL SEQUENCES IN SCHEMA public, lab TO ${role}`)
      }
      if (capture === 'client') {
        await database.db.query(
          `GRANT USAGE ON SCHEMA safetykit TO ${role}; GRANT INSERT ON safetykit.dirty TO ${role}`,
        )
      }
      const plainClient = connect(version, as(plain.url))
      return {
        plain,
        plainClient,
        database,
        client,
        truth,
        emulator,
        log,
        extend: (prisma) => extended(prisma.$extends(sync.extension(given) as never)),
        async close() {
          await plainClient.prisma.$disconnect()
          await client.prisma.$disconnect()
          await emulator.close()
          await plain.db.query(`DROP OWNED BY ${role}`)
          await database.db.query(`DROP OWNED BY ${role}; DROP ROLE ${role}`)
          await plain.drop()
          await database.drop()
        },
      }
    }

    async function withPolicies<T>(work: () => Promise<T>): Promise<T> {
      const { plain, database } = rig
      for (const { db } of [plain, database]) await db.query(policySql)
      try {
        return await work()
      } finally {
        for (const { db } of [plain, database]) {
          await db.query(`DROP POLICY "own" ON "authors"; ALTER TABLE "authors" DISABLE ROW LEVEL SECURITY;
            ALTER TABLE "authors" NO FORCE ROW LEVEL SECURITY`)
        }
      }
    }

    async function expectWorks({ other, writes }: Case, prisma: PrismaClient): Promise<void> {
      const { plain, plainClient, database, truth } = rig
      try {
        // What SafetyKit has never had is not told of as deleted.
        await database.db.query(markAllSql)
        await settled({ ...rig, prisma })
        await truth.forget()
        const theirs = await describeResult(() => writes(other(plainClient.prisma)))
        const ours = await describeResult(() => writes(prisma))
        expect(ours).toEqual(theirs)
        expect(ours.looks).not.toContain('thrown')
        expect(steadyRows(await database.contents())).toEqual(steadyRows(await plain.contents()))
        const happened = await truth.read()
        expect(happened.changes.length).toBeGreaterThan(3)
        const scenario = { run: () => writes(prisma), wholeTables: ['public.Comment'], goneIsScanned: true } as const
        expectMarked(capture, scenario, happened)
        await settled({ ...rig, prisma })
        await expectSent({ ...rig, prisma }, happened.changes)
      } finally {
        await prisma.$disconnect()
      }
    }

    for (const [name, given] of Object.entries(cases)) {
      const { other, refusedBeforeOurs } = given
      const around = given.other === rowLevelSecurity ? withPolicies : <T>(work: () => Promise<T>) => work()

      it(`${name} works after ours`, async () => {
        await rig.plain.reset()
        await rig.database.reset()
        await around(() => expectWorks(given, other(rig.extend(rig.client.prisma))))
      })

      if (refusedBeforeOurs && capture === 'client') {
        it(`${name} is refused before ours, with the order that works`, () => {
          expect(() => rig.extend(other(rig.client.prisma))).toThrow(
            expect.objectContaining({
              code: 'CONFIG_INVALID',
              hint: expect.stringContaining('prisma.$extends(sync.extension()).$extends('),
            }),
          )
        })
      } else {
        it(`${name} works before ours`, async () => {
          await rig.plain.reset()
          await rig.database.reset()
          await around(() => expectWorks(given, rig.extend(other(rig.client.prisma))))
        })
      }
    }
  })
})
