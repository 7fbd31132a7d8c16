import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Emulator, startEmulator } from '../../src/emulator/index.js'
import { migrate, type Pipeline, startPipeline } from '../../src/pipeline.js'
import { type LogLine, memoryLogger } from '../support/memory-logger.js'
import { soon } from '../support/soon.js'
import { scenarios } from './all.js'
import { type Connected, connect, type PrismaClient, type Version } from './clients.js'
import { createScenarioDatabase, keepTruth, markAllSql, type ScenarioDatabase, type Truth } from './database.js'
import { describeResult, steadyRows } from './describe-result.js'
import { expectedObjects } from './expected-objects.js'
import { expectMarked } from './marks.js'
import { type Capturing, scenarioSync } from './sync.js'
import { type MappedTable, mappedTables, type Source } from './tables.js'

type Capture = Capturing['capture']

interface Extended {
  readonly plain: ScenarioDatabase
  readonly plainClient: Connected
  readonly database: ScenarioDatabase
  readonly client: Connected
  readonly truth: Truth
  readonly emulator: Emulator
  readonly log: readonly LogLine[]
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
      ([, { only = version, byAnotherProgram }]) => only === version && !(byAnotherProgram === true && capture === 'client'),
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
            await settled(extended, capture)
          }
          await truth.forget()
          const theirs = await describeResult(() => scenario.run({ ...plainClient, other: plain.other }))
          const ours = await describeResult(() => scenario.run({ ...client, other: database.other }))
          expect(ours).toEqual(theirs)
          expect(steadyRows(await database.contents())).toEqual(steadyRows(await plain.contents()))

          const happened = await truth.read()
          if (capture !== 'replication') expectMarked(capture, scenario, happened)

          if (process.env.NO_END) { await database.db.query('DELETE FROM safetykit.dirty WHERE key IS NULL'); return }
          await settled(extended, capture)
          await expectSent(extended, happened.changes)
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

/** Everything that is committed is settled, the scans of whole tables too. */
async function settled({ client, database, log }: Extended, capture: Capture): Promise<void> {
  await (client.prisma as unknown as { $safetykit: { flush(): Promise<unknown> } }).$safetykit.flush()
  await soon(async () => {
    const { rows } = await database.db.query(
      `SELECT (SELECT count(*)::int FROM safetykit.dirty) AS keys,
         (SELECT count(*)::int FROM safetykit.scans WHERE finished_at IS NULL) AS scans`,
    )
    const told = log.filter(({ level }) => level === 'warn' || level === 'error').slice(-3)
    expect({ capture, ...rows[0], told }).toMatchObject({ keys: 0, scans: 0 })
  })
}

/** SafetyKit has every row as it is, each under a request that the ledger knows, and knows what is gone. */
async function expectSent({ database, emulator }: Extended, changes: readonly Change[]): Promise<void> {
  const expected = await expectedObjects(database)
  const { rows: ledger } = await database.db.query<{ namespace: string; object_id: string; request_id: string | null }>(
    `SELECT namespace, object_id, request_id FROM safetykit.objects WHERE state = 'accepted'`,
  )
  const requests = new Map(ledger.map((row) => [`${row.namespace}/${row.object_id}`, row.request_id]))
  const gone = tombstones(changes)
  for (const [namespace, objects] of Object.entries(expected)) {
    const sent = Object.keys(objects).map((id) => [id, emulator.object(namespace, id)?.data])
    expect({ [namespace]: Object.fromEntries(sent) }).toEqual({ [namespace]: objects })
    for (const id of Object.keys(objects)) {
      expect([namespace, id, requests.get(`${namespace}/${id}`)]).toEqual([
        namespace,
        id,
        emulator.object(namespace, id)?.requestId,
      ])
    }
    for (const id of gone[namespace] ?? []) {
      if (id in objects) continue
      expect([namespace, emulator.object(namespace, id)?.data]).toEqual([namespace, { id, deleted: true }])
    }
  }
  expect(emulator.violations).toEqual([])
}

interface Change {
  readonly source: string
  readonly op: 'is' | 'gone'
  readonly key: string | null
}

function tombstones(changes: readonly Change[]): Record<string, string[]> {
  const ids: Record<string, string[]> = {}
  for (const { source, op, key } of changes) {
    const table: MappedTable = mappedTables[source as Source]
    if (op !== 'gone' || key === null || table.tombstones === undefined) continue
    const columns = table.namespaces[table.tombstones]?.id ?? []
    const values = JSON.parse(key) as Record<string, string>
    ids[table.tombstones] = [...(ids[table.tombstones] ?? []), columns.map((name) => values[name]).join(':')]
  }
  return ids
}
