import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startEmulator } from '../../src/emulator/index.js'
import { migrate, type Pipeline, startPipeline } from '../../src/pipeline.js'
import { type LogLine, memoryLogger } from '../support/memory-logger.js'
import { soon } from '../support/soon.js'
import { scenarios } from './all.js'
import { type Connected, connect, type PrismaClient, type Version } from './clients.js'
import { createScenarioDatabase, keepTruth, markAllSql, type ScenarioDatabase, type Truth } from './database.js'
import { type Delivered, expectSent, settled } from './delivered.js'
import { describeResult, steadyRows } from './describe-result.js'
import { expectMarked } from './marks.js'
import { type Capturing, scenarioSync } from './sync.js'

type Capture = Capturing['capture']

interface Extended extends Delivered {
  readonly plain: ScenarioDatabase
  readonly plainClient: Connected
  readonly client: Connected
  readonly truth: Truth
  close(): Promise<void>
}

/** Every scenario with one capture mode on one version of Prisma: against the plain client, and against the truth. */
export function runScenarios(capture: Capture, version: Version): void {
  let extended: Extended
  beforeAll(async () => {
    extended = await extend(capture, version)
  })
  afterAll(() => extended?.close())

  for (const [group, ofGroup] of Object.entries(scenarios)) {
    const applicable = Object.entries(ofGroup).filter(
      ([, { only = version, byAnotherProgram }]) =>
        only === version && !(byAnotherProgram === true && capture === 'client'),
    )
    if (applicable.length === 0) continue
    describe(group, () => {
      for (const [name, scenario] of applicable) {
        it(name, async () => {
          const { plain, plainClient, database, client, truth } = extended
          await plain.reset()
          await database.reset()
          if (capture === 'client') {
            // No one sees these rows change but us.
            await database.db.query(markAllSql)
            await settled(extended)
          }
          await truth.forget()
          const theirs = await describeResult(() => scenario.run({ ...plainClient, other: plain.other }))
          const ours = await describeResult(() => scenario.run({ ...client, other: database.other }))
          expect(ours).toEqual(theirs)
          expect(steadyRows(await database.contents())).toEqual(steadyRows(await plain.contents()))

          const happened = await truth.read()
          if (capture !== 'replication') expectMarked(capture, scenario, happened)

          if (capture === 'replication') {
            // The slot is told only now and then how far it may go.
            await soon(() => expectSent(extended, happened.changes))
          } else {
            await settled(extended)
            await expectSent(extended, happened.changes)
          }
        })
      }
    })
  }
}

async function extend(capture: Capture, version: Version): Promise<Extended> {
  const [plain, database] = [await createScenarioDatabase(), await createScenarioDatabase()]
  const emulator = await startEmulator({ keepHistory: false })
  const log: LogLine[] = []
  const connected = connect(version, database.url)
  const sync = scenarioSync(connected.prisma, {
    capture,
    ...(capture === 'replication' ? { slot: { name: database.db.name } } : { deliver: 'inline' }),
    delivery: { maxBatchAgeMs: 2 },
  })
  const given = {
    resolved: sync.resolved,
    databaseUrl: database.url,
    apiKey: emulator.apiKey,
    baseUrl: emulator.url,
    logger: memoryLogger(log),
  }
  await migrate(given)
  const truth = await keepTruth(database)
  const sidecar: Pipeline | null = capture === 'replication' ? await startPipeline(given) : null
  const prisma = connected.prisma.$extends(sync.extension(given) as never) as unknown as PrismaClient
  const plainClient = connect(version, plain.url)
  return {
    plain,
    plainClient,
    database,
    prisma,
    client: { prisma, Prisma: connected.Prisma },
    truth,
    emulator,
    log,
    async close() {
      await prisma.$disconnect()
      await plainClient.prisma.$disconnect()
      await sidecar?.stop()
      await emulator.close()
      await plain.drop()
      await database.drop()
    },
  }
}
