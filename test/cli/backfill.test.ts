import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { EmulatorOptions } from '../../src/emulator/index.js'
import { emulatorForTest } from '../support/emulator.js'
import { createDatabase, type TestDatabase } from '../support/postgres.js'
import {
  type CommandResult,
  type ConfigDirectory,
  type RunningCommand,
  runCommand,
  startCommand,
  writeConfig,
} from '../support/sidecar.js'
import { soon } from '../support/soon.js'

const apiKey = 'sk_test_0123456789'
const title = 'a title that nobody but SafetyKit is to see'
const rows = 300

let migrated: TestDatabase
let directory: ConfigDirectory
let db: TestDatabase
let commands: RunningCommand[]
let outputs: string[]

beforeAll(async () => {
  migrated = await createDatabase({
    sql: `CREATE TABLE products (id integer PRIMARY KEY, title text NOT NULL);
          CREATE TABLE sellers (id integer PRIMARY KEY, name text NOT NULL)`,
  })
  await migrated.query('INSERT INTO products SELECT g, $1 FROM generate_series(1, $2::integer) g', [title, rows])
  await migrated.query('ANALYZE')
  directory = await writeConfig({
    capture: 'trigger',
    deliver: 'sidecar',
    results: 'off',
    tables: {
      'public.products': { namespace: 'products', fields: { title: true } },
      'public.sellers': { namespace: 'sellers', fields: { name: true } },
    },
  })
  const env = { DATABASE_URL: migrated.url }
  expect(await runCommand(['migrate'], { cwd: directory.dir, env })).toMatchObject({ code: 0, stderr: '' })
  // Nobody may be connected to what is copied.
  await migrated.pool.end()
})
afterAll(async () => {
  await directory.remove()
  await migrated.drop()
})

const emulator = (options: EmulatorOptions = {}) => emulatorForTest({ apiKey, ...options })

interface Api {
  readonly url: string
}

function start(api: Api, args: readonly string[] = [], key = apiKey): RunningCommand {
  const env = { DATABASE_URL: db.url, SAFETYKIT_API_KEY: key, SAFETYKIT_BASE_URL: api.url }
  const command = startCommand(['backfill', ...args], { cwd: directory.dir, env })
  commands.push(command)
  return command
}

async function backfill(api: Api, args: readonly string[] = [], key = apiKey): Promise<CommandResult> {
  const command = start(api, args, key)
  const exit = await command.exited
  return { ...exit, stdout: command.stdout(), stderr: command.stderr() }
}

/** The events that were printed; fails where a line of stdout is none. */
const events = ({ stdout }: CommandResult): Record<string, unknown>[] =>
  stdout.split('\n').flatMap((line) => (line === '' ? [] : [JSON.parse(line)]))

const nowhere: Api = { url: 'http://127.0.0.1:1' }

describe('safetykit-sync backfill', () => {
  beforeEach(async () => {
    commands = []
    outputs = []
    db = await createDatabase({ template: migrated.name })
  })

  afterEach(async () => {
    for (const command of commands) {
      command.kill('SIGKILL')
      await command.exited
      outputs.push(command.stdout(), command.stderr())
    }
    await db.drop()
    for (const output of outputs) {
      for (const secret of [apiKey, title, `:${new URL(db.url).password}@`]) expect(output).not.toContain(secret)
    }
  })

  it('sends all rows that were there before, and ends with 0 after JSON lines that say so', async () => {
    const api = await emulator()
    const result = await backfill(api)
    expect(result).toMatchObject({ code: 0, signal: null, stderr: '' })
    expect(api.objects('products').size).toBe(rows)
    expect(api.object('products', '7')).toMatchObject({ data: { title } })

    const told = events(result)
    const [last] = told.slice(-1)
    expect(last).toMatchObject({ event: 'done', time: expect.stringMatching(/Z$/), seconds: expect.any(Number) })
    expect(last?.tables).toEqual(
      expect.arrayContaining([
        { source: 'public.products', rows, inStep: 0, imported: 0, imports: 0, queued: rows, refused: 0 },
        { source: 'public.sellers', rows: 0, inStep: 0, imported: 0, imports: 0, queued: 0, refused: 0 },
      ]),
    )
    const ends = told.filter(({ event }) => event === 'table')
    expect(ends.map(({ source }) => source).sort()).toEqual(['public.products', 'public.sellers'])
    // Nobody was there to see them.
    expect(result.stdout).not.toContain(String.fromCharCode(27))
  })

  it('calls no API where all is in step, and with --force sends it all again', async () => {
    const api = await emulator()
    await backfill(api)
    const before = api.stats
    const second = await backfill(api)
    expect(second).toMatchObject({ code: 0, stderr: '' })
    expect(api.stats).toEqual(before)
    expect(events(second).at(-1)?.tables).toContainEqual(
      expect.objectContaining({ source: 'public.products', rows, inStep: rows, imported: 0, queued: 0 }),
    )

    expect(await backfill(api, ['--force', '--table', 'public.products'])).toMatchObject({ code: 0, stderr: '' })
    expect(api.history('products', '7')).toHaveLength(2)
  })

  it('takes the tables, the rows and the number of objects that it is told', async () => {
    const api = await emulator()
    await db.query("INSERT INTO sellers SELECT g, 'a name' FROM generate_series(1, 20) g")
    // The triggers have captured these: they are not the backfill's.
    await db.query('DELETE FROM safetykit.dirty')
    const some = await backfill(api, ['--table', 'public.sellers', '--where', 'id <= 5'])
    expect(some).toMatchObject({ code: 0, stderr: '' })
    expect([...api.objects('sellers').keys()].sort()).toEqual(['1', '2', '3', '4', '5'])
    expect(api.objects('products').size).toBe(0)
    expect(events(some).at(-1)?.tables).toMatchObject([{ source: 'public.sellers', rows: 5, queued: 5 }])

    expect(await backfill(api, ['--table', 'public.sellers', '--limit', '7'])).toMatchObject({ code: 0, stderr: '' })
    expect(api.objects('sellers').size).toBe(12)
  })

  it('takes several tables', async () => {
    const api = await emulator()
    const both = ['--table', 'public.products', '--table', 'public.sellers']
    const result = await backfill(api, both)
    expect(result).toMatchObject({ code: 0, stderr: '' })
    const ends = events(result).filter(({ event }) => event === 'table')
    expect(ends.map(({ source }) => source).sort()).toEqual(['public.products', 'public.sellers'])
    expect(api.objects('products').size).toBe(rows)
  })

  it('names the nearest table for one that is not mapped, and exits 2', async () => {
    const { code, stdout, stderr } = await backfill(await emulator(), ['--table', 'public.product'])
    expect(code).toBe(2)
    expect(stdout).toBe('')
    expect(stderr).toMatch(/^error ARGUMENT_INVALID: .*public\.product\b/)
    expect(stderr).toContain('public.products')
  })

  it.each([
    'id >',
    'no_such_column = 1',
    'true; DROP TABLE products',
    'id',
  ])('says that --where %j is no condition on the table, and exits 2', async (where) => {
    const api = await emulator()
    const { code, stdout, stderr } = await backfill(api, ['--table', 'public.products', '--where', where])
    expect(code).toBe(2)
    expect(stdout).toBe('')
    expect(stderr).toMatch(/^error ARGUMENT_INVALID: /)
    expect(stderr).toContain('where')
    expect(api.objects('products').size).toBe(0)
    expect((await db.query('SELECT FROM products')).rowCount).toBe(rows)
  })

  it('exits 4 with a clear message where the API refuses the key', async () => {
    const { code, stdout, stderr } = await backfill(await emulator(), [], 'sk_wrong_0123456789')
    expect(code).toBe(4)
    expect(stderr).toMatch(/^error API_UNAUTHORIZED: .*\n→ .*SAFETYKIT_API_KEY/)
    expect(stdout + stderr).not.toContain('sk_wrong_0123456789')
    expect(stdout).not.toContain('"done"')
  })

  it('asks for migrate where that has not run, and exits 3', async () => {
    await db.query('DROP SCHEMA safetykit CASCADE')
    const { code, stderr } = await backfill(nowhere)
    expect(code).toBe(3)
    expect(stderr).toMatch(/^error SCHEMA_OUTDATED: /)
    expect(stderr).toContain('→ Run: safetykit-sync migrate')
  })

  it.each([
    ['SIGTERM', 143],
    ['SIGINT', 130],
  ] as const)('is stopped by %s with %d, and the same command goes on where it was', async (signal, code) => {
    const api = await emulator()
    const stuck = api.faults.add({ do: { latencyMs: 5_000 }, when: { path: 'add' } })
    const first = start(api)
    await soon(() => expect(stuck.hits).toBeGreaterThan(0))
    first.kill(signal)
    expect(await first.exited).toEqual({ code, signal: null })
    expect(first.stderr()).toContain('The same command goes on where this one was.')
    const told = events({ code, signal: null, stdout: first.stdout(), stderr: '' })
    expect(told.at(-1)).toMatchObject({ event: 'stopped', signal })

    api.faults.clear()
    expect(await backfill(api)).toMatchObject({ code: 0, stderr: '' })
    expect(api.objects('products').size).toBe(rows)
    // What was in flight was recorded before the first one ended.
    for (const id of api.objects('products').keys()) expect(api.history('products', id)).toHaveLength(1)
  })

  it('is stopped by one signal while the API is away at its start', async () => {
    const api = await emulator({ faults: [{ do: { status: 503 } }] })
    const first = start(api)
    await soon(() => expect(api.stats.calls.settings).toBeGreaterThan(0))
    first.kill('SIGTERM')
    expect(await first.exited).toEqual({ code: 143, signal: null })
    expect(first.stderr()).toContain('The same command goes on where this one was.')
  })

  it('ends at once with 1 on a second signal, and the same command completes it', async () => {
    const api = await emulator()
    const stuck = api.faults.add({ do: { hang: true }, when: { path: 'add' } })
    const first = start(api)
    await soon(() => expect(stuck.hits).toBeGreaterThan(0))
    first.kill('SIGTERM')
    await soon(() => expect(first.stderr()).toContain('Stopping'))
    first.kill('SIGTERM')
    expect(await first.exited).toEqual({ code: 1, signal: null })

    api.faults.clear()
    expect(await backfill(api)).toMatchObject({ code: 0 })
    expect(api.objects('products').size).toBe(rows)
  })
})

describe('the command line of backfill', () => {
  it('explains its output, the exit codes of a stop and an example with --help', async () => {
    const { code, stdout, stderr } = await runCommand(['backfill', '--help'], { cwd: directory.dir })
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    for (const event of ['progress', 'table', 'done', 'stopped']) expect(stdout).toMatch(new RegExp(`\\n  ${event} `))
    expect(stdout).toMatch(/143 or 130/)
    expect(stdout).toMatch(/Examples:\n {2}safetykit-sync backfill/)
    expect(stdout).toContain('A flag wins over the environment, and the environment over the file .env')
  })

  it.each([
    { args: ['--limit', '0'] },
    { args: ['--limit', '-5'] },
    { args: ['--limit', '1.5'] },
    { args: ['--limit', '1e3'] },
    { args: ['--limit', 'all'] },
    { args: ['--limit', '99999999999999999999'] },
    { args: ['--where', ' '] },
    { args: ['public.products'] },
  ])('refuses $args, and exits 2', async ({ args }) => {
    const { code, stdout, stderr } = await runCommand(['backfill', ...args], { cwd: directory.dir })
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
    expect(stderr).toMatch(/^error USAGE: /)
  })
})
