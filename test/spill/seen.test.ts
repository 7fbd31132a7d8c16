import { expect, onTestFinished, test } from 'vitest'
import { emulatorForTest } from '../support/emulator.js'
import { createDatabase } from '../support/postgres.js'
import { runCommand } from '../support/sidecar.js'
import { soon } from '../support/soon.js'
import { type WatchedSidecar, watchedSidecar } from '../support/watched-sidecar.js'

const apiKey = 'sk_test_0123456789'

async function rig() {
  const db = await createDatabase({ sql: 'CREATE TABLE products (id integer PRIMARY KEY, title text)' })
  onTestFinished(() => db.drop())
  const emulator = await emulatorForTest({ apiKey })
  const config = {
    slot: { name: db.name },
    results: 'off',
    spill: { afterMs: 300 },
    delivery: { retryBaseMs: 10, retryMaxMs: 100 },
    tables: { 'public.products': { namespace: 'products', fields: { title: true } } },
  }
  const start = async (): Promise<WatchedSidecar> => {
    const sidecar = await watchedSidecar({ databaseUrl: db.url, emulator, config })
    onTestFinished(() => sidecar.close())
    return sidecar
  }
  /** What `status` says of the processes. */
  const states = async (sidecar: WatchedSidecar): Promise<readonly string[]> => {
    const { stdout } = await runCommand(['status', '--json'], { cwd: sidecar.cwd, env: { DATABASE_URL: db.url } })
    return (JSON.parse(stdout) as { processes: { state: string }[] }).processes.map(({ state }) => state)
  }
  return { db, emulator, start, states }
}

test('that changes are kept as keys, and that they are delivered again, is told by /readyz, /metrics and `status`', async () => {
  const { db, emulator, start, states } = await rig()
  const sidecar = await start()
  await db.query(`INSERT INTO products VALUES (1, 'a')`)
  await soon(() => expect(emulator.objects('products').size).toBe(1))

  const away = emulator.faults.add({ do: { status: 503 } })
  await db.query(`INSERT INTO products SELECT n, 'b' FROM generate_series(2, 50) AS n`)
  await soon(async () =>
    expect(await sidecar.readyz()).toMatchObject({
      status: 200,
      phase: 'spilling',
      reasons: [],
      warnings: [{ code: 'spilling', message: expect.stringContaining('products') }],
    }),
  )
  await soon(async () => {
    const series = await sidecar.metrics()
    expect(series.get('safetykit_phase{phase="spilling"}')).toBe(1)
    expect(series.get('safetykit_spilled_keys_total')).toBeGreaterThanOrEqual(49)
  })
  await soon(async () => expect(await states(sidecar)).toEqual(['spilling']))

  away.remove()
  await soon(async () =>
    expect(await sidecar.readyz()).toMatchObject({ status: 200, phase: 'streaming', reasons: [], warnings: [] }),
  )
  await soon(() => expect(emulator.objects('products').size).toBe(50))
  expect((await sidecar.metrics()).get('safetykit_phase{phase="spilling"}')).toBe(0)
  await soon(async () => expect(await states(sidecar)).toEqual(['streaming']))
  expect(sidecar.logs().map(({ msg }) => msg)).toContain('SafetyKit takes changes again')
})

test('started while the API is away, it is not ready, says why, and takes the slot all the same', async () => {
  const { db, emulator, start } = await rig()
  const away = emulator.faults.add({ do: { status: 503 } })
  const sidecar = await start()
  await db.query(`INSERT INTO products SELECT n, 'b' FROM generate_series(1, 50) AS n`)
  await soon(async () =>
    expect(await sidecar.readyz()).toMatchObject({
      status: 503,
      phase: 'spilling',
      reasons: [{ code: 'settings-not-pushed', message: expect.stringContaining('products') }],
      warnings: [{ code: 'spilling' }],
    }),
  )
  expect(emulator.stats.calls.add).toBe(0)
  away.remove()
  await soon(async () => expect(await sidecar.readyz()).toMatchObject({ status: 200, reasons: [] }))
  await soon(() => expect(emulator.objects('products').size).toBe(50))
})
