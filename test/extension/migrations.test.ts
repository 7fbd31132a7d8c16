import pg from 'pg'
import { describe, expect, it, onTestFinished } from 'vitest'
import { type Emulator, startEmulator } from '../../src/emulator/index.js'
import { readStatus } from '../../src/operate/status.js'
import { migrate } from '../../src/pipeline.js'
import { defineSync } from '../../src/sync.js'
import { connect, type PrismaClient } from '../scenarios/clients.js'
import { createScenarioDatabase, type ScenarioDatabase } from '../scenarios/database.js'
import { type LogLine, memoryLogger } from '../support/memory-logger.js'
import { soon } from '../support/soon.js'

type Capture = 'trigger' | 'client'

/** The column of each field that is mapped. */
type Columns = Readonly<Record<string, string>>

const fields: Columns = { small: 'small', secret: 'secret', day: 'day', clock: 'clock', address: 'address' }
const { day: _dropped, ...withoutDay } = fields

interface Case {
  readonly ddl: string
  /** The mapping that fits afterwards, as the application of the next release has it. */
  readonly next: Columns
  /** The column of the key afterwards. */
  readonly key?: string
  /** With `capture: 'client'`, a write that may fail once: it asked for the key by the name that it had. */
  readonly mayFailOnce?: string
  /** What does not fit when nothing but the database has changed. */
  readonly unfit: Readonly<Record<Capture, string | null>>
  /** What does not fit when the next release starts before `safetykit-sync migrate`. */
  readonly unfitNext: Readonly<Record<Capture, string | null>>
}

const nothing = { trigger: null, client: null } as const
const triggers = { trigger: 'TRIGGERS_UNFIT', client: null } as const
const mapping = { trigger: 'CONFIG_INVALID', client: 'CONFIG_INVALID' } as const

const cases: Readonly<Record<string, Case>> = {
  'a mapped column is added': {
    ddl: `ALTER TABLE lab.samples ADD COLUMN extra text NOT NULL DEFAULT 'new'`,
    next: { ...fields, extra: 'extra' },
    unfit: nothing,
    unfitNext: triggers,
  },
  'a mapped column is dropped': {
    ddl: 'ALTER TABLE lab.samples DROP COLUMN day',
    next: withoutDay,
    unfit: mapping,
    unfitNext: triggers,
  },
  'a mapped column is renamed': {
    ddl: 'ALTER TABLE lab.samples RENAME COLUMN address TO ip',
    next: { ...fields, address: 'ip' },
    unfit: mapping,
    unfitNext: triggers,
  },
  'a mapped column is retyped': {
    ddl: 'ALTER TABLE lab.samples ALTER COLUMN clock TYPE text USING clock::text',
    next: fields,
    unfit: nothing,
    unfitNext: nothing,
  },
  'the key is renamed': {
    ddl: 'ALTER TABLE lab.samples RENAME COLUMN id TO sample_id',
    next: fields,
    key: 'sample_id',
    mayFailOnce: 'create in a transaction',
    unfit: triggers,
    unfitNext: triggers,
  },
  'the table is dropped and made anew': {
    ddl: `
      BEGIN;
      LOCK TABLE lab.samples IN ACCESS EXCLUSIVE MODE;
      CREATE TABLE lab.made_anew (LIKE lab.samples INCLUDING ALL);
      INSERT INTO lab.made_anew SELECT * FROM lab.samples WHERE id <> 2;
      ALTER SEQUENCE lab.samples_id_seq OWNED BY NONE;
      DROP TABLE lab.samples;
      ALTER TABLE lab.made_anew RENAME TO samples;
      ALTER SEQUENCE lab.samples_id_seq OWNED BY lab.samples.id;
      COMMIT`,
    next: fields,
    unfit: triggers,
    unfitNext: triggers,
  },
}

/** Which rows have changed, whatever the table looks like by now. A table that is made anew has lost this too. */
const touchedSql = `
  CREATE TABLE public.touched (id text PRIMARY KEY);
  CREATE FUNCTION public.touch() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
  DECLARE
    was jsonb := CASE WHEN TG_OP = 'INSERT' THEN '{}' ELSE to_jsonb(OLD) END;
    is_now jsonb := CASE WHEN TG_OP = 'DELETE' THEN '{}' ELSE to_jsonb(NEW) END;
    key text := coalesce(is_now ->> 'id', is_now ->> 'sample_id', was ->> 'id', was ->> 'sample_id');
  BEGIN
    IF was - 'amount' <> is_now - 'amount' THEN
      INSERT INTO public.touched VALUES (key) ON CONFLICT DO NOTHING;
    END IF;
    RETURN NULL;
  END $$;
  CREATE TRIGGER touched AFTER INSERT OR UPDATE OR DELETE ON lab.samples FOR EACH ROW EXECUTE FUNCTION public.touch();`

/** What the application does all the time. */
const writes: Readonly<Record<string, (prisma: PrismaClient, n: number) => Promise<unknown>>> = {
  create: (prisma, n) => prisma.sample.create({ data: { secret: `made ${n}` }, select: { id: true } }),
  'create in a transaction': (prisma, n) =>
    prisma.$transaction(async (tx) => {
      await tx.sample.createMany({ data: [{ secret: `one ${n}` }, { secret: `two ${n}`, small: 2 }] })
      await tx.tag.update({ where: { id: 2 }, data: { label: `in ${n}` } })
    }),
  'update of a mapped column': (prisma, n) =>
    prisma.sample.update({ where: { id: 1 }, data: { secret: `changed ${n}` }, select: { secret: true } }),
  'update of another column': (prisma) =>
    prisma.sample.update({ where: { id: 1 }, data: { amount: { increment: 1 } }, select: { small: true } }),
  updateMany: (prisma, n) =>
    prisma.sample.updateMany({ where: { secret: { startsWith: 'one' } }, data: { small: n % 100 } }),
  'update of all columns': (prisma, n) => prisma.sample.update({ where: { id: 2 }, data: { secret: `all ${n}` } }),
  deleteMany: (prisma) => prisma.sample.deleteMany({ where: { secret: { startsWith: 'two' } } }),
  'raw SQL': (prisma, n) => prisma.$executeRaw`UPDATE lab.samples SET small = ${n % 100} WHERE secret LIKE 'made%'`,
  'another table': (prisma, n) => prisma.tag.update({ where: { id: 1 }, data: { label: `changed ${n}` } }),
}

type Outcomes = Readonly<Record<string, string>>

async function outcomeOf(work: Promise<unknown>): Promise<string> {
  try {
    await work
    return 'ok'
  } catch (error) {
    const { code, message } = error as { code?: string; message?: string }
    return code ?? `${message}`
  }
}

/** Every write once, one after another. */
async function outcomes(prisma: PrismaClient): Promise<Outcomes> {
  const found: Record<string, string> = {}
  for (const [name, write] of Object.entries(writes)) found[name] = await outcomeOf(write(prisma, 9_999))
  return found
}

/** Writes until it is told to stop. */
function keepWriting(prisma: PrismaClient) {
  const seen = new Map<string, Set<string>>()
  let [stopped, rounds] = [false, 0]
  const note = (name: string, outcome: string): void => {
    seen.set(name, (seen.get(name) ?? new Set()).add(outcome))
  }
  const run = async (): Promise<void> => {
    for (let n = 0; !stopped; n++) {
      // One after another: writes of several rows at once could deadlock each other without anyone's help.
      for (const [name, write] of Object.entries(writes)) note(name, await outcomeOf(write(prisma, n)))
      rounds++
    }
  }
  const running = run()
  return {
    /** Resolves after some more rounds of all writes. */
    async more(): Promise<void> {
      const goal = rounds + 4
      await soon(() => expect(rounds).toBeGreaterThanOrEqual(goal))
    },
    /** What came of them since this was asked last. */
    taken(): Readonly<Record<string, string[]>> {
      const found = Object.fromEntries([...seen].map(([name, all]) => [name, [...all].sort()]))
      seen.clear()
      return found
    },
    async stop(): Promise<void> {
      stopped = true
      await running
    },
  }
}

const settings = (capture: Capture) => ({ capture, deliver: 'inline', delivery: { maxBatchAgeMs: 2 } }) as const

/** The mapping over a client whose schema names these columns, as the client of the next release does. */
function syncOf(prisma: PrismaClient, capture: Capture, columns: Columns, key: string) {
  const client = prisma as unknown as { _runtimeDataModel: RuntimeDataModel; _engineConfig: unknown }
  const models = structuredClone(client._runtimeDataModel.models)
  for (const [name, dbName] of Object.entries({ ...columns, id: key })) {
    const known = models.Sample?.fields.find((field) => field.name === name)
    if (known === undefined) models.Sample?.fields.push({ name, kind: 'scalar', type: 'String', dbName })
    else known.dbName = dbName
  }
  const Sample = {
    namespace: 'samples',
    fields: Object.fromEntries(Object.keys(columns).map((name) => [name, true])),
    onDelete: 'tombstone',
  }
  const Tag = { namespace: 'tags', fields: { label: true } }
  const next = { _runtimeDataModel: { models }, _engineConfig: client._engineConfig }
  return defineSync(next as never, { ...settings(capture), models: { Sample, Tag } } as never) as ReturnType<
    typeof defineSync<PrismaClient, Record<never, never>>
  >
}

interface RuntimeDataModel {
  readonly models: Record<string, { fields: { name: string; kind: string; type: string; dbName?: string }[] }>
}

interface Application {
  readonly prisma: PrismaClient
  readonly log: readonly LogLine[]
  flush(): Promise<void>
  stop(): Promise<void>
}

function start(
  database: ScenarioDatabase,
  emulator: Emulator,
  capture: Capture,
  columns: Columns,
  key = 'id',
): Application {
  const log: LogLine[] = []
  const { prisma } = connect('7', database.url)
  const sync = syncOf(prisma, capture, columns, key)
  const options = {
    databaseUrl: database.url,
    apiKey: emulator.apiKey,
    baseUrl: emulator.url,
    logger: memoryLogger(log),
  }
  const extended = prisma.$extends(sync.extension(options) as never) as unknown as PrismaClient
  return {
    prisma: extended,
    log,
    async flush() {
      const { $safetykit } = extended as unknown as { $safetykit: { flush(): Promise<unknown> } }
      expect(await $safetykit.flush()).toMatchObject({ settled: true, refused: [] })
    },
    stop: () => extended.$disconnect(),
  }
}

/** What SafetyKit has of the rows, and what it should have: of those that are touched, or of all. */
async function samples(database: ScenarioDatabase, emulator: Emulator, columns: Columns, key: string, all: boolean) {
  const text = (column: string): string => {
    const name = pg.escapeIdentifier(column)
    return `CASE WHEN ${name} IS NOT NULL THEN format('%s', ${name}) END`
  }
  const values = Object.entries(columns).map(
    ([name, column]) => `'${name}', ${name === 'small' ? column : text(column)}`,
  )
  const { rows } = await database.db.query<{ id: string; object: object }>(
    `SELECT ${key}::text AS id, jsonb_build_object(${[`'id', ${key}::text`, ...values].join(', ')}) AS object FROM lab.samples`,
  )
  const touched = await database.db.query<{ id: string }>('SELECT id FROM public.touched')
  const ids = all ? rows.map(({ id }) => id) : touched.rows.map(({ id }) => id)
  const byId = new Map(rows.map(({ id, object }) => [id, object]))
  const known = emulator.objects('samples')
  return {
    sent: Object.fromEntries(ids.flatMap((id) => (known.has(id) ? [[id, known.get(id)?.data]] : []))),
    // What is gone before it was ever sent is not told of.
    wanted: Object.fromEntries(
      ids.flatMap((id) => {
        const object = byId.get(id) ?? (known.has(id) ? { id, deleted: true } : undefined)
        return object === undefined ? [] : [[id, object]]
      }),
    ),
    count: ids.length,
  }
}

async function problems(
  database: ScenarioDatabase,
  prisma: PrismaClient,
  capture: Capture,
  columns: Columns,
  key: string,
) {
  const client = await database.db.client()
  const { resolved } = syncOf(prisma, capture, columns, key)
  return (await readStatus({ resolved, source: client, ledger: client })).problems
}

const toldOf = (log: readonly LogLine[]) =>
  log.flatMap(({ level, fields: { error } }) =>
    level === 'error' ? [error as { code?: string; message: string }] : [],
  )

describe.each(['trigger', 'client'] as const)('capture: %s', (capture) => {
  it.each(Object.entries(cases))('the application writes while %s, and nothing is missed', async (_, given) => {
    const { ddl, next, key = 'id', unfit, unfitNext, mayFailOnce } = given
    const [plain, database] = [await createScenarioDatabase(), await createScenarioDatabase()]
    const emulator = await startEmulator({ keepHistory: false })
    const plainClient = connect('7', plain.url)
    const applications: Application[] = []
    const startWith = (columns: Columns, keyColumn?: string): Application => {
      const application = start(database, emulator, capture, columns, keyColumn)
      applications.push(application)
      return application
    }
    onTestFinished(async () => {
      for (const application of applications) await application.stop()
      await plainClient.prisma.$disconnect()
      await emulator.close()
      await plain.drop()
      await database.drop()
    })
    for (const { db } of [plain, database]) await db.query(touchedSql)
    for (const one of [plain, database]) await one.reset()
    const migrateTo = async (columns: Columns, keyColumn: string): Promise<void> => {
      const { resolved } = syncOf(plainClient.prisma, capture, columns, keyColumn)
      await migrate({ resolved, databaseUrl: database.url })
    }
    await migrateTo(fields, 'id')
    const atFirst = await outcomes(plainClient.prisma)
    await plain.db.query(ddl)
    const afterwards = await outcomes(plainClient.prisma)

    // The application runs, and the migration passes.
    const application = startWith(fields)
    const writing = keepWriting(application.prisma)
    await writing.more()
    // The worker runs: one that only starts now would find that the mapping does not fit, and deliver nothing.
    await application.flush()
    expect(writing.taken()).toEqual(Object.fromEntries(Object.entries(atFirst).map(([name, one]) => [name, [one]])))
    await database.db.query('DELETE FROM public.touched')
    await database.db.query(`SET lock_timeout = '20s'; ${ddl}`)
    await writing.more()
    for (const [name, found] of Object.entries(writing.taken())) {
      const others = found.filter((outcome) => outcome !== atFirst[name] && outcome !== afterwards[name])
      expect([name, others]).toEqual([name, capture === 'client' && name === mayFailOnce ? expect.any(Array) : []])
    }
    await writing.more()
    await writing.stop()
    expect(writing.taken()).toEqual(Object.fromEntries(Object.entries(afterwards).map(([name, one]) => [name, [one]])))
    const known = await samples(database, emulator, {}, key, false)
    expect(known.count > 5 || ddl.includes('DROP TABLE')).toBe(true)
    await soon(async () => {
      const label = (await database.db.query<{ label: string }>('SELECT label FROM "Tag" WHERE id = 1')).rows[0]?.label
      expect(emulator.object('tags', '1')?.data.label).toBe(label)
    })
    if (unfit[capture] === null) await expectSamples(fields, key)
    await application.stop()

    // The next start and `status` say what does not fit.
    await expectProblems(fields, 'id', unfit[capture])
    await expectProblems(next, key, unfitNext[capture])

    // The next release. Rows that it maps otherwise are not sent anew for that.
    if (next !== fields && unfit[capture] === null) await database.db.query('DELETE FROM public.touched')
    await migrateTo(next, key)
    expect(await problems(database, plainClient.prisma, capture, next, key)).toEqual([])
    const release = startWith(next, key)
    await release.prisma.$executeRawUnsafe(`UPDATE lab.samples SET small = 77 WHERE ${key} = 1`)
    await release.flush()
    await expectSamples(next, key)
    expect(emulator.object('samples', '1')?.data).toMatchObject({ small: 77 })
    expect(toldOf(release.log)).toEqual([])
    expect(emulator.violations).toEqual([])

    async function expectSamples(columns: Columns, keyColumn: string): Promise<void> {
      const everyRow = ddl.includes('DROP TABLE')
      await soon(async () => {
        const { sent, wanted } = await samples(database, emulator, columns, keyColumn, everyRow)
        expect(sent).toEqual(wanted)
      })
    }

    async function expectProblems(columns: Columns, keyColumn: string, code: string | null): Promise<void> {
      const found = await problems(database, plainClient.prisma, capture, columns, keyColumn)
      const wanted =
        code === null ? [] : [expect.objectContaining({ code, message: expect.stringMatching(/Sample|samples/) })]
      expect(found).toEqual(wanted)
      const started = startWith(columns, keyColumn)
      await started.prisma.log.create({ data: { line: 'started' } })
      await soon(() => expect(toldOf(started.log)).toEqual(wanted), 20_000)
      await started.stop()
    }
  })
})
