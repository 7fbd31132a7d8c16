import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { EmulatorOptions } from '../../src/emulator/index.js'
import type { StatusReport } from '../../src/operate/status.js'
import { migrate } from '../../src/pipeline.js'
import { defineSync } from '../../src/sync.js'
import { emulatorForTest } from '../support/emulator.js'
import { createDatabase, type TestDatabase } from '../support/postgres.js'
import {
  type CommandResult,
  type ConfigDirectory,
  type RunningCommand,
  runCommand,
  startSidecar,
  writeConfig,
} from '../support/sidecar.js'
import { soon } from '../support/soon.js'

const apiKey = 'sk_test_0123456789'
const title = 'a title that nobody but SafetyKit is to see'

let db: TestDatabase
let config: object
let directory: ConfigDirectory
let sidecars: RunningCommand[]
let outputs: string[]

beforeEach(async () => {
  sidecars = []
  outputs = []
  db = await createDatabase({ sql: 'CREATE TABLE products (id integer PRIMARY KEY, title text NOT NULL)' })
  config = {
    capture: 'replication',
    slot: { name: db.name },
    // A request stays as the API has accepted it.
    results: 'off',
    parking: { retryAfterMs: [3_600_000] },
    tables: { 'public.products': { namespace: 'products', fields: { title: { display_hint: { type: 'title' } } } } },
  }
  directory = await writeConfig(config)
})

afterEach(async () => {
  for (const sidecar of sidecars) {
    sidecar.kill('SIGKILL')
    await sidecar.exited
    outputs.push(sidecar.stdout(), sidecar.stderr())
  }
  await directory.remove()
  await db.drop()
  for (const output of outputs) {
    for (const secret of [apiKey, title, `:${new URL(db.url).password}@`]) expect(output).not.toContain(secret)
  }
})

async function command(...args: string[]): Promise<CommandResult> {
  const result = await runCommand(args, { cwd: directory.dir, env: { DATABASE_URL: db.url } })
  outputs.push(result.stdout, result.stderr)
  return result
}

/** What the command does, without a process of its own. */
const migrated = () => migrate({ resolved: defineSync(config as never).resolved, databaseUrl: db.url })

async function status(): Promise<StatusReport> {
  const { stdout, stderr } = await command('status', '--json')
  expect(stderr).toBe('')
  return JSON.parse(stdout)
}

function start(baseUrl: string, key = apiKey): RunningCommand {
  const env = { DATABASE_URL: db.url, SAFETYKIT_API_KEY: key, SAFETYKIT_BASE_URL: baseUrl }
  const sidecar = startSidecar({ cwd: directory.dir, env })
  sidecars.push(sidecar)
  return sidecar
}

async function recorded(): Promise<Record<string, unknown>[]> {
  const { rows } = await db.query('SELECT object_id, state FROM safetykit.objects ORDER BY object_id')
  return rows
}

const insert = (id: number): Promise<unknown> => db.query('INSERT INTO products VALUES ($1, $2)', [id, title])
const emulator = (options: EmulatorOptions = {}) => emulatorForTest({ apiKey, ...options })

describe('safetykit-sync migrate', () => {
  it('says what it made, and the second time that nothing is to do', async () => {
    const first = await command('migrate')
    expect(first.stderr).toBe('')
    expect(first.code).toBe(0)
    expect(first.stdout).toContain('side tables')
    expect(first.stdout).toContain('CREATE PUBLICATION')
    expect(first.stdout).toContain(`slot ${db.name}`)
    expect(first.stdout).not.toContain(String.fromCharCode(27))
    expect(await command('migrate')).toMatchObject({ code: 0, stdout: 'Nothing to do\n', stderr: '' })
  })

  it('prints the same as JSON', async () => {
    const { done } = JSON.parse((await command('migrate', '--json')).stdout)
    expect(done.length).toBeGreaterThan(2)
    expect(JSON.parse((await command('migrate', '--json')).stdout)).toEqual({ done: [] })
  })

  it('names a table that is not there, and exits 2', async () => {
    await db.query('ALTER TABLE products RENAME TO product')
    const { code, stderr } = await command('migrate')
    expect(code).toBe(2)
    expect(stderr).toContain('tables["public.products"]')
    expect(stderr).toContain('did you mean product?')
  })
})

describe('safetykit-sync run', () => {
  it('delivers what is committed, and on SIGTERM stops in order with 0', async () => {
    const api = await emulator()
    await migrated()
    const sidecar = start(api.url)
    expect(await sidecar.waitFor((line) => line.msg === 'Starting')).toMatchObject({
      level: 'info',
      mappings: ['public.products → products'],
      slot: db.name,
    })
    await insert(1)
    await soon(async () => expect(await recorded()).toHaveLength(1))
    expect(api.object('products', '1')).toMatchObject({ id: '1', data: { title } })

    sidecar.kill('SIGTERM')
    expect(await sidecar.exited).toEqual({ code: 0, signal: null })
    expect(sidecar.stderr()).toBe('')
    expect(sidecar.logs().at(-1)).toMatchObject({ msg: 'Stopped' })
    // Every line is JSON: no one else has written to stdout.
    expect(sidecar.logs()).toHaveLength(sidecar.stdout().trimEnd().split('\n').length)
  })

  it('settles what is in flight before it stops', async () => {
    const api = await emulator()
    await migrated()
    const sidecar = start(api.url)
    await insert(1)
    await soon(async () => expect(await recorded()).toHaveLength(1))
    const slow = api.faults.add({ do: { latencyMs: 1_500 }, when: { path: 'add' } })
    await insert(2)
    await soon(() => expect(slow.hits).toBe(1))
    sidecar.kill('SIGINT')
    expect(await sidecar.exited).toEqual({ code: 0, signal: null })
    expect(await recorded()).toHaveLength(2)
  })

  it('ends at once with 1 on a second signal, and what was not settled comes again', async () => {
    const api = await emulator()
    await migrated()
    const sidecar = start(api.url)
    await soon(() => expect(api.settingsCalls()).toBe(1))
    const stuck = api.faults.add({ do: { hang: true }, when: { path: 'add' } })
    await insert(1)
    await soon(() => expect(stuck.hits).toBe(1))
    sidecar.kill('SIGTERM')
    await sidecar.waitFor((line) => line.msg.startsWith('Stopping'))
    sidecar.kill('SIGTERM')
    expect(await sidecar.exited).toEqual({ code: 1, signal: null })
    expect(await recorded()).toEqual([])

    api.reset()
    start(api.url)
    await soon(async () => expect(await recorded()).toHaveLength(1))
  })

  it('stops with 0 on a signal while the API is away at the start', async () => {
    const api = await emulator({ faults: [{ do: { status: 503 } }] })
    await migrated()
    const sidecar = start(api.url)
    await soon(() => expect(api.stats.calls.settings).toBeGreaterThan(0))
    sidecar.kill('SIGTERM')
    expect(await sidecar.exited).toEqual({ code: 0, signal: null })
  })

  it('stops with a clear message and 4 where the API refuses the key', async () => {
    const api = await emulator()
    await migrated()
    const sidecar = start(api.url, 'sk_wrong_0123456789')
    expect(await sidecar.exited).toEqual({ code: 4, signal: null })
    expect(sidecar.stderr()).toMatch(/^error API_UNAUTHORIZED: .*\n→ .*SAFETYKIT_API_KEY/)
    expect(sidecar.stdout() + sidecar.stderr()).not.toContain('sk_wrong_0123456789')
  })

  it('asks for migrate where that has not run, and exits 3', async () => {
    const sidecar = start('http://127.0.0.1:1')
    expect(await sidecar.exited).toEqual({ code: 3, signal: null })
    expect(sidecar.stderr()).toMatch(/^error SCHEMA_OUTDATED: /)
    expect(sidecar.stderr()).toContain('→ Run: safetykit-sync migrate')
  })
})

describe('safetykit-sync status', () => {
  it('asks for migrate where the side tables are missing, and exits 3', async () => {
    const { code, stdout, stderr } = await command('status')
    expect(code).toBe(3)
    expect(stdout).toBe('')
    expect(stderr).toMatch(/^error SCHEMA_OUTDATED: /)
    expect(stderr).toContain('→ Run: safetykit-sync migrate')
  })

  it('shows a running sidecar as connected and caught up, and a stopped one as disconnected', async () => {
    const api = await emulator()
    await migrated()
    const sidecar = start(api.url)
    await insert(1)
    await soon(async () => expect(await recorded()).toHaveLength(1))
    const caughtUp = {
      slot: { name: db.name, active: true, walStatus: 'reserved', lagBasis: 'caught-up', lagSeconds: 0, problem: null },
      objects: [{ namespace: 'products', accepted: { count: 1, estimated: false } }],
      requests: [{ status: 'accepted', count: 1, estimated: false }],
      dirty: { count: 0, wholeTables: [] },
    }
    await soon(async () => expect(await status()).toMatchObject(caughtUp))

    sidecar.kill('SIGTERM')
    await sidecar.exited
    await insert(2)
    const { slot } = await status()
    expect(slot).toMatchObject({ active: false, activePid: null, problem: null })
    expect(slot?.lagBytes).toBeGreaterThan(0)
    expect(['inactive-since', 'last-acceptance']).toContain(slot?.lagBasis)
    expect(slot?.lagSeconds).toBeGreaterThan(0)
  })

  it('shows how long a sidecar has been stuck with an API that does not answer', async () => {
    const api = await emulator()
    await migrated()
    start(api.url)
    await soon(() => expect(api.settingsCalls()).toBe(1))
    const stuck = api.faults.add({ do: { hang: true }, when: { path: 'add' } })
    await insert(1)
    await soon(() => expect(stuck.hits).toBe(1))
    await soon(async () => {
      const { slot } = await status()
      expect(slot?.lagBasis).toBe('replay-lag')
      expect(slot?.lagSeconds).toBeGreaterThan(3)
    })
  })

  it('lists what the API refused', async () => {
    const api = await emulator()
    api.faults.add({ do: { reject: 422, message: 'the image is no URL' }, when: { ids: ['2'] } })
    await migrated()
    start(api.url)
    for (const id of [1, 2, 3]) await insert(id)
    await soon(async () => expect(await recorded()).toHaveLength(3))
    const report = await status()
    expect(report.objects).toEqual([
      {
        namespace: 'products',
        accepted: { count: 2, estimated: false },
        parked: { count: 1, estimated: false },
        dead: { count: 0, estimated: false },
      },
    ])
    expect(report.refused).toEqual({ due: 0, nextRetryAt: expect.stringMatching(/Z$/) })
    expect(report.lastErrors).toEqual([
      expect.objectContaining({
        namespace: 'products',
        id: '2',
        state: 'parked',
        attempts: 1,
        code: 'API_REJECTED',
        status: 422,
        message: expect.stringContaining('the image is no URL'),
      }),
    ])
    const { stdout } = await command('status')
    expect(stdout).toContain('products/2  API_REJECTED')
    expect(stdout).toMatch(/namespace +accepted +parked +dead\n +products +2 +1 +0/)
    expect(stdout).not.toContain(String.fromCharCode(27))
  })

  it('says what to do about a slot that is missing', async () => {
    await migrated()
    await db.query('SELECT pg_drop_replication_slot($1)', [db.name])
    const report = await status()
    expect(report.slot).toMatchObject({ active: false, lagBytes: null, problem: { code: 'SLOT_MISSING' } })
    const { code, stdout } = await command('status')
    expect(code).toBe(0)
    expect(stdout).toContain('SLOT_MISSING')
    expect(stdout).toContain('safetykit-sync migrate')
  })
})
