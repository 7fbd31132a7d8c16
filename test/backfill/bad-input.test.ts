import { chmod, mkdir, rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { describe, expect, test } from 'vitest'
import { soon } from '../support/soon.js'
import { type BackfillRigOptions, backfillRig, products, versionsOf } from './rig.js'

type Finish = BackfillRigOptions['onTestFinished']

const rigOf = (onTestFinished: Finish, options: Partial<BackfillRigOptions> = {}) =>
  backfillRig({ sql: products.sql(25), tables: products.tables, onTestFinished, ...options })

type Rig = Awaited<ReturnType<typeof rigOf>>

const mapping = { namespace: 'things', fields: { title: true } }

describe.concurrent('ids', () => {
  const odd = [
    'tab\there',
    'line\nbreak',
    'cr\rhere',
    'back\\slash',
    '\\N',
    '\\.',
    "quo'te",
    '"double"',
    '{a,b}',
    'NULL',
    'Grüße 🙂 中',
    ' ',
    '',
    'a:b',
    ',',
    '\u2028',
    '%',
    'x'.repeat(1_500),
  ]

  test('of any text are sent, recorded, followed and found again as they are', async ({ onTestFinished }) => {
    const rig = await rigOf(onTestFinished, {
      sql: 'CREATE TABLE things (code text PRIMARY KEY, title text)',
      tables: { 'public.things': { ...mapping, onDelete: 'tombstone' } },
    })
    await rig.db.query("INSERT INTO things SELECT code, 'title ' || code FROM unnest($1::text[]) code", [
      odd.filter((code) => code !== ''),
    ])
    await rig.db.query('DELETE FROM safetykit.dirty')
    rig.emulator.imports.hold()
    const pipeline = await rig.start()
    await pipeline.backfill({})
    await rig.write("UPDATE things SET title = 'new'")
    await soon(async () =>
      expect((await rig.db.query('SELECT FROM safetykit.dirty WHERE key IS NOT NULL')).rowCount).toBe(0),
    )
    rig.emulator.imports.release()
    const expected = { things: `SELECT json_build_object('id', code, 'title', title) AS object FROM things` }
    await rig.inStep(expected)
    const before = rig.emulator.stats.calls
    expect((await pipeline.backfill({})).tables).toMatchObject([{ inStep: odd.length - 1, imported: 0, queued: 0 }])
    expect(rig.emulator.stats.calls).toEqual(before)
    await rig.write('DELETE FROM things')
    await rig.inStep(expected)
  })

  test('of other columns, with a prefix, of several columns: what an import overtakes is found by its key', async ({
    onTestFinished,
  }) => {
    const rig = await rigOf(onTestFinished, {
      sql: `CREATE TABLE things (a integer, b text, slug text UNIQUE NOT NULL, title text, PRIMARY KEY (a, b));
        INSERT INTO things SELECT n, 'b:' || n || E'\\n', E'sl\\tug' || n, 'title' FROM generate_series(1, 25) n`,
      tables: {
        'public.things': [
          { ...mapping, namespace: 'by-key', onDelete: 'tombstone' },
          { ...mapping, namespace: 'by-slug', id: { fields: ['slug'], prefix: 's-' } },
          { ...mapping, namespace: 'by-two', id: { fields: ['b', 'slug'], join: '|' } },
        ],
      },
    })
    rig.emulator.imports.hold()
    const pipeline = await rig.start()
    expect((await pipeline.backfill({})).tables).toMatchObject([{ rows: 25, imported: 75, imports: 9 }])
    await rig.write("UPDATE things SET title = 'new' WHERE a % 2 = 0; DELETE FROM things WHERE a = 9")
    await soon(async () =>
      expect((await rig.db.query('SELECT FROM safetykit.dirty WHERE key IS NOT NULL')).rowCount).toBe(0),
    )
    rig.emulator.imports.release()
    await rig.quiet()
    const titles = (namespace: string, id: string) => rig.emulator.object(namespace, id)?.data
    expect(titles('by-key', '8:b:8\n')).toMatchObject({ title: 'new' })
    expect(titles('by-key', '9:b:9\n')).toMatchObject({ deleted: true })
    expect(titles('by-slug', 's-sl\tug8')).toMatchObject({ title: 'new' })
    expect(titles('by-two', 'b:8\n|sl\tug8')).toMatchObject({ title: 'new' })
    for (const namespace of ['by-key', 'by-slug', 'by-two']) {
      const news = [...rig.emulator.objects(namespace).values()].filter(({ data }) => data.title === 'new')
      expect([namespace, news.length]).toEqual([namespace, 12])
    }
    const wrong = await rig.side('objects')
    for (const { namespace, object_id: id, request_id: requestId } of wrong) {
      expect(rig.emulator.object(String(namespace), String(id))?.requestId).toBe(requestId)
    }
  })

  test('of keys of any type are sent once each, and a backfill that fails in the middle of their table goes on there', async ({
    onTestFinished,
  }) => {
    const types = [
      ['smallint', 'n'],
      ['bigint', '9007199254740993 + n'],
      ['numeric', 'n / 7.0'],
      ['double precision', 'n * 0.1'],
      ['real', 'n * 0.1::real'],
      ['uuid', "('00000000-0000-0000-0000-' || lpad(n::text, 12, '0'))::uuid"],
      ['date', "date '2020-01-01' + n"],
      ['timestamp', "timestamp '2020-01-01' + n * interval '1.000001 s'"],
      ['timestamptz', "timestamptz '2020-10-25 00:59:50+00' + n * interval '1.000001 s'"],
      ['interval', "n * interval '1 hour 1.5 s'"],
      ['bytea', "decode(lpad(to_hex(n), 4, '0'), 'hex')"],
      ['inet', "inet '10.0.0.0' + n"],
      ['char(8)', "'c' || n"],
      ['"char"', 'chr(n + 40)::"char"'],
      ['boolean[]', 'ARRAY[n & 1 > 0, n & 2 > 0, n & 4 > 0, n & 8 > 0, n & 16 > 0]'],
      ['int4range', 'int4range(n, n + 1)'],
      ['money', 'n::money'],
      ['text', "repeat('ä', n)"],
    ] as const
    const names = types.map((_, index) => `things_${index}`)
    const rig = await rigOf(onTestFinished, {
      sql: `CREATE TABLE let_through (namespace text); ${types
        .map(
          ([type, value], index) => `CREATE TABLE things_${index} (code ${type} PRIMARY KEY, title text);
            INSERT INTO things_${index} SELECT (${value})::${type}, 'title' FROM generate_series(1, 24) n;`,
        )
        .join('\n')}`,
      tables: Object.fromEntries(names.map((name) => [`public.${name}`, { ...mapping, namespace: name }])),
    })
    // The second import of each table can only be recorded at the second attempt.
    await rig.db.query(`CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF EXISTS (SELECT FROM safetykit.requests r WHERE r.namespace = NEW.namespace)
          AND NOT EXISTS (SELECT FROM let_through l WHERE l.namespace = NEW.namespace) THEN RAISE '%', NEW.namespace; END IF;
        RETURN NEW; END $$;
      CREATE TRIGGER refuse BEFORE INSERT ON safetykit.requests FOR EACH ROW EXECUTE FUNCTION refuse()`)
    const pipeline = await rig.start()
    for (const [index, name] of names.entries()) {
      await expect(pipeline.backfill({ tables: [`public.${name}`] }), types[index]?.[0]).rejects.toThrow(name)
      await rig.db.query('INSERT INTO let_through VALUES ($1)', [name])
    }
    const { tables } = await pipeline.backfill({})
    expect(tables).toEqual(
      names.map((name) => expect.objectContaining({ source: `public.${name}`, rows: 24, imported: 24, imports: 3 })),
    )
    await rig.quiet()
    for (const name of names) expect([name, versionsOf(rig.emulator, name)]).toEqual([name, 24])
    const calls = rig.emulator.stats.calls.import
    const again = await pipeline.backfill({})
    expect(again.tables).toEqual(
      names.map((name) => expect.objectContaining({ source: `public.${name}`, inStep: 24, imported: 0, queued: 0 })),
    )
    expect(rig.emulator.stats.calls.import).toBe(calls)
  })
})

describe.concurrent('rows', () => {
  test('of a table without any are none, and nobody is called', async ({ onTestFinished }) => {
    const rig = await rigOf(onTestFinished, { sql: products.sql(0) })
    const { tables } = await rig.backfill()
    expect(tables).toEqual([
      { source: 'public.products', rows: 0, inStep: 0, imported: 0, imports: 0, queued: 0, refused: 0 },
    ])
    expect(rig.emulator.stats.calls.import).toBe(0)
  })

  test('that are too large are parked, and the others are sent', async ({ onTestFinished }) => {
    const rig = await rigOf(onTestFinished, { settings: { delivery: { maxBatchBytes: 2_000 } } })
    await rig.db.query("UPDATE products SET title = repeat('x', 3000) WHERE id IN (1, 12, 25)")
    await rig.db.query('DELETE FROM safetykit.dirty')
    expect((await rig.backfill()).tables).toMatchObject([{ rows: 25, imported: 22, queued: 3 }])
    await soon(() => expect(rig.emulator.objects('products').size).toBe(22))
    const parked = await rig.side<{ error: { code: string } }>('objects', "state <> 'accepted'")
    expect(parked.map(({ object_id: id, error }) => [id, error.code]).sort()).toEqual([
      ['1', 'OBJECT_TOO_LARGE'],
      ['12', 'OBJECT_TOO_LARGE'],
      ['25', 'OBJECT_TOO_LARGE'],
    ])
    const again = await rig.backfill()
    expect(again.tables).toMatchObject([{ inStep: 22, refused: 3, imported: 0, queued: 0 }])
    await rig.backfill({ force: true })
    await rig.start()
    await rig.quiet()
    expect(rig.emulator.objects('products').size).toBe(22)
  })

  test('that SafetyKit refuses are parked, and the others are sent', async ({ onTestFinished }) => {
    const rig = await rigOf(onTestFinished, { settings: { import: { minObjects: 1_000, maxPartObjects: 1_000 } } })
    rig.emulator.faults.add({ when: { path: 'add', ids: ['7'] }, do: { reject: 400, message: 'no' } })
    expect((await rig.backfill()).tables).toMatchObject([{ rows: 25, imported: 0, queued: 25 }])
    expect(rig.emulator.objects('products').size).toBe(24)
    expect(await rig.side('objects', "state <> 'accepted'")).toMatchObject([{ object_id: '7' }])
    expect((await rig.backfill()).tables).toMatchObject([{ inStep: 24, refused: 1, queued: 0 }])
  })

  test('for which a function of the mapping throws are parked without a value, and the others are sent', async ({
    onTestFinished,
  }) => {
    const secret = 'Chair 7'
    const boom = (row: { title?: unknown }) => {
      if (row.title === 'Chair 7') throw new Error(`no ${String(row.title)}`)
      return 'fine'
    }
    const tables = { 'public.products': { ...products.tables['public.products'], computed: { what: { value: boom } } } }
    const rig = await rigOf(onTestFinished, { tables })
    expect((await rig.backfill()).tables).toMatchObject([{ rows: 25, imported: 24, queued: 1 }])
    const [parked] = await rig.side('objects', "state <> 'accepted'")
    expect(parked).toMatchObject({ object_id: '7', error: { code: 'OBJECT_INVALID' } })
    expect(JSON.stringify(parked?.error)).not.toContain(secret)
  })

  test('with JSON over several lines and odd whitespace are lines of valid JSON', async ({ onTestFinished }) => {
    const rig = await rigOf(onTestFinished, {
      sql: `CREATE TABLE things (id integer PRIMARY KEY, j json, b jsonb, t text);
        INSERT INTO things SELECT n, E'{\\r\\n "a" :\\t[1,\\n2 , "x\\\\ny  z"],"\\u2028": "\\u2029\\u0085" }\\n', '{"a": "x\\ny"}', E'line\\nbreak\\r\\u2028\\u0001' FROM generate_series(1, 25) n`,
      tables: { 'public.things': { namespace: 'things', fields: { j: true, b: true, t: true } } },
    })
    expect((await rig.backfill()).tables).toMatchObject([{ imported: 25, queued: 0 }])
    await soon(() => expect(rig.emulator.objects('things').size).toBe(25))
    expect(rig.emulator.object('things', '7')?.data).toEqual({
      id: '7',
      j: { a: [1, 2, 'x\ny  z'], '\u2028': '\u2029\u0085' },
      b: { a: 'x\ny' },
      t: 'line\nbreak\r\u2028\u0001',
    })
    expect(rig.emulator.stats.imports.failed).toBe(0)
  })

  test('of one table go to each of its namespaces, and an import that fails harms only its own', async ({
    onTestFinished,
  }) => {
    const tables = {
      'public.products': [
        { ...mapping, namespace: 'one' },
        { ...mapping, namespace: 'two' },
      ],
    }
    const rig = await rigOf(onTestFinished, { tables })
    rig.emulator.faults.add({
      when: { path: 'upload', namespace: 'two', times: 2 },
      do: { reject: 400, message: 'no' },
    })
    expect((await rig.backfill()).tables).toMatchObject([{ rows: 25, imported: 50, imports: 6 }])
    await rig.start()
    await rig.quiet()
    for (const namespace of ['one', 'two']) expect([...rig.emulator.objects(namespace).values()]).toHaveLength(25)
    expect(versionsOf(rig.emulator, 'one')).toBe(25)
    expect(versionsOf(rig.emulator, 'two')).toBe(25)
  })

  test('of a table without a key are refused with what to do', async ({ onTestFinished }) => {
    const sql = 'CREATE TABLE things (id integer, title text)'
    await expect(rigOf(onTestFinished, { sql, tables: { 'public.things': mapping } })).rejects.toMatchObject({
      code: 'TABLE_UNFIT',
    })
  })
})

describe.concurrent('a limit', () => {
  for (const limit of [1, 9, 10, 11, 20, 24, 25, 26]) {
    test(`of ${limit} sends as many, and the next one the others`, async ({ onTestFinished }) => {
      const rig = await rigOf(onTestFinished)
      const sent = Math.min(limit, 25)
      expect((await rig.backfill({ limit })).tables).toMatchObject([{ imported: sent }])
      await soon(() => expect(rig.emulator.objects('products').size).toBe(sent))
      const again = (await rig.backfill({ limit })).tables
      expect(again).toMatchObject([{ imported: Math.min(limit, 25 - sent) }])
      await rig.backfill()
      await rig.start()
      await rig.inStep()
      expect(versionsOf(rig.emulator, 'products')).toBe(25)
    })
  }

  test('of rows that go one by one is kept as well', async ({ onTestFinished }) => {
    const rig = await rigOf(onTestFinished, { settings: { import: { minObjects: 1_000, maxPartObjects: 1_000 } } })
    expect((await rig.backfill({ limit: 7 })).tables).toMatchObject([{ queued: 7 }])
    expect(rig.emulator.objects('products').size).toBe(7)
    expect((await rig.backfill({ limit: 7 })).tables).toMatchObject([{ queued: 7 }])
    expect(rig.emulator.objects('products').size).toBe(14)
  })
})

describe.concurrent('force', () => {
  test('sends what is in step, parked or dead once more', async ({ onTestFinished }) => {
    const rig = await rigOf(onTestFinished, { settings: { import: { minObjects: 1_000, maxPartObjects: 1_000 } } })
    const refusing = rig.emulator.faults.add({
      when: { path: 'add', ids: ['7', '8'] },
      do: { reject: 400, message: 'no' },
    })
    await rig.backfill()
    await rig.db.query("UPDATE safetykit.objects SET state = 'dead', retry_at = NULL WHERE object_id = '8'")
    refusing.remove()
    await rig.backfill({ force: true }, { settings: { import: { minObjects: 1 } } })
    await rig.start()
    await rig.inStep()
    expect(versionsOf(rig.emulator, 'products')).toBe(23 * 2 + 2)
    expect(await rig.side('objects', "state <> 'accepted' OR error IS NOT NULL")).toEqual([])
  })
})

describe.concurrent('an upload', () => {
  test('that is refused, expires, fails and is cut off on the way arrives once', async ({ onTestFinished }) => {
    const rig = await rigOf(onTestFinished)
    for (const action of [
      { status: 403 },
      { status: 500 },
      { resetMidway: true },
      { reset: true },
      { status: 403 },
    ] as const) {
      rig.emulator.faults.add({ when: { path: 'upload', times: 1 }, do: action })
    }
    expect((await rig.backfill()).tables).toMatchObject([{ imported: 25, imports: 3 }])
    await rig.start()
    await rig.inStep()
    expect(versionsOf(rig.emulator, 'products')).toBe(25)
    expect(await rig.spooled()).toEqual([])
  })

  for (const status of [403, 411]) {
    test(`that is refused with ${status} for good is told, and the same backfill goes on later`, async ({
      onTestFinished,
    }) => {
      const rig = await rigOf(onTestFinished)
      const fault = rig.emulator.faults.add({ when: { path: 'upload', ids: ['11'] }, do: { status } })
      await expect(rig.backfill()).rejects.toMatchObject({ code: 'UPLOAD_REFUSED', hint: expect.any(String) })
      fault.remove()
      expect((await rig.backfill()).tables).toMatchObject([{ imported: 25, imports: 3 }])
      await rig.start()
      await rig.inStep()
      expect(versionsOf(rig.emulator, 'products')).toBe(25)
    })
  }
})

describe.concurrent('the folder of the files', () => {
  const unfit = async (rig: Rig, spoolDirectory: string) => {
    await expect(rig.backfill({}, { settings: { import: { spoolDirectory } } })).rejects.toMatchObject({
      code: 'SPOOL_UNFIT',
      hint: expect.stringContaining('import.spoolDirectory'),
    })
    expect(await rig.side('objects')).toEqual([])
    expect(rig.emulator.stats.calls.import).toBe(0)
  }

  test('that is a file is told, and nothing is half done', async ({ onTestFinished }) => {
    const rig = await rigOf(onTestFinished)
    const file = path.join(rig.spool, 'file')
    await writeFile(file, '')
    await unfit(rig, file)
    await rm(file)
    await rig.backfill()
    await rig.start()
    await rig.inStep()
  })

  // Nothing is locked for root.
  if (process.getuid?.() !== 0) {
    test('that may not be written is told, and nothing is half done', async ({ onTestFinished }) => {
      const rig = await rigOf(onTestFinished)
      const folder = path.join(rig.spool, 'locked')
      await mkdir(folder)
      await chmod(folder, 0o500)
      await unfit(rig, folder)
    })
  }

  test('that is taken away in the middle is made anew, and everything is sent', async ({ onTestFinished }) => {
    const rig = await rigOf(onTestFinished)
    const held = rig.held('import')
    const backfill = rig.backfill()
    await held.reached()
    await rm(rig.spool, { recursive: true })
    held.goOn()
    expect((await backfill).tables).toMatchObject([{ imported: 25 }])
    await rig.start()
    await rig.inStep()
    expect(versionsOf(rig.emulator, 'products')).toBe(25)
  })
})

test('no line of the log, at any level, holds a value, a key of a row, an upload URL or the key', async ({
  onTestFinished,
}) => {
  const rig = await rigOf(onTestFinished, {
    sql: `CREATE TABLE things (code text PRIMARY KEY, title text); INSERT INTO things SELECT 'kkk' || n, 'vvv' || n FROM generate_series(1, 25) n`,
    tables: { 'public.things': mapping },
    settings: { delivery: { maxBatchBytes: 500 } },
  })
  await rig.db.query("UPDATE things SET title = repeat('vvv', 1000) WHERE code = 'kkk3'")
  for (const action of [{ status: 403 }, { status: 500 }, { resetMidway: true }] as const) {
    rig.emulator.faults.add({ when: { path: 'upload', times: 1 }, do: action })
  }
  rig.emulator.faults.add({ when: { path: 'upload', ids: ['kkk9'] }, do: { status: 411 } })
  const error = await rig.backfill().catch((thrown: unknown) => thrown)
  rig.emulator.faults.clear()
  rig.emulator.faults.add({ when: { path: 'upload', times: 1 }, do: { reject: 400, message: 'no' } })
  await rig.backfill()
  await rig.start()
  await rig.quiet()
  const shown = (value: unknown): unknown =>
    value instanceof Error ? { ...value, message: value.message, stack: value.stack, cause: shown(value.cause) } : value
  const text = JSON.stringify([...rig.log, shown(error)], (_, value: unknown) =>
    typeof value === 'bigint' ? String(value) : shown(value),
  )
  expect(text.length).toBeGreaterThan(500)
  for (const secret of [
    'vvv',
    'kkk',
    rig.emulator.apiKey,
    '/upload/',
    'signature',
    `:${new URL(rig.db.url).password}@`,
  ]) {
    expect([secret, text.includes(secret)]).toEqual([secret, false])
  }
})
