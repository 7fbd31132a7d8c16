import { describe, expect, onTestFinished, test } from 'vitest'
import { startEmulator } from '../../src/emulator/index.js'
import { migrate } from '../../src/pipeline.js'
import { differences } from '../support/in-step.js'
import { expectedObjects, marketplaceSync } from '../support/marketplace.js'
import { createDatabase } from '../support/postgres.js'
import { applyMigrations, connectPrisma } from '../support/prisma.js'
import { type Program, startProgram } from '../support/program.js'

const modes = ['trigger', 'client'] as const

async function shop(capture: (typeof modes)[number]) {
  const db = await createDatabase()
  const emulator = await startEmulator()
  onTestFinished(async () => {
    await emulator.close()
    await db.drop()
  })
  await applyMigrations(db.url)
  const { resolved } = marketplaceSync(connectPrisma(db.url), { capture })
  await migrate({ resolved, databaseUrl: db.url })
  const call = (name: string, end: 'disconnect' | 'exit' | 'never'): Program =>
    startProgram(
      new URL('./function.ts', import.meta.url),
      {
        CAPTURE: capture,
        END: end,
        DATABASE_URL: db.url,
        SAFETYKIT_BASE_URL: emulator.url,
        SAFETYKIT_API_KEY: emulator.apiKey,
      },
      [name],
    )
  const wrong = async () => [
    ...(await differences({ db, emulator, expected: expectedObjects })),
    ...emulator.violations,
  ]
  return { db, emulator, call, wrong }
}

/** What a write says that did not wait for a machine that is too busy to look at the tables: a scan brings it instead. */
const outOfPatience =
  /^prisma-extension-safetykit: SafetyKit gets less .*\n.* could not be read within .*\n→ Writes go on; .*\n/m

/** What a function's flush has said, once it has ended by itself. */
async function flushed(call: Program): Promise<unknown> {
  const { code, signal } = await call.exited
  const said = call.output().replace(outOfPatience, '')
  const [written, told = '', ...more] = said.trimEnd().split('\n')
  expect({ code, signal, written, more }).toEqual({ code: 0, signal: null, written: 'written', more: [] })
  return JSON.parse(told)
}

describe.each(modes)('a function, capture: %s', (capture) => {
  test('that has flushed leaves nothing behind: no key, no lease, nothing to wait for', async () => {
    const { db, call, wrong } = await shop(capture)
    expect(await flushed(call('only', 'disconnect'))).toEqual({ settled: true, waiting: 0 })
    expect(await wrong()).toEqual([])
    expect((await db.query('SELECT FROM safetykit.dirty')).rows).toEqual([])
    expect((await db.query('SELECT * FROM safetykit.leases WHERE holder IS NOT NULL OR through > 0')).rows).toEqual([])
  })

  test('that is frozen or gone as soon as it has flushed leaves no lease either: the next one has not to wait for it', async () => {
    const { db, call, wrong } = await shop(capture)
    for (const name of ['first', 'second']) {
      expect(await flushed(call(name, 'exit'))).toEqual({ settled: true, waiting: 0 })
      expect(await wrong()).toEqual([])
      expect((await db.query('SELECT * FROM safetykit.leases WHERE holder IS NOT NULL')).rows).toEqual([])
    }
  })

  test('that is killed right after its writes leaves their keys, and the flush of the next one delivers them', async () => {
    const { db, emulator, call, wrong } = await shop(capture)
    emulator.faults.add({ when: { path: 'add' }, do: { hang: true } })
    const killed = call('killed', 'never')
    await killed.printed('written')
    killed.kill('SIGKILL')
    await killed.exited
    expect((await db.query('SELECT FROM safetykit.dirty')).rowCount).toBeGreaterThan(0)
    emulator.faults.clear()
    expect(await flushed(call('next', 'disconnect'))).toEqual({ settled: true, waiting: 0 })
    expect(await wrong()).toEqual([])
  })

  test('is one of many at once, and each of them flushes and ends by itself', async () => {
    const { db, call, wrong } = await shop(capture)
    const calls = ['a', 'b', 'c', 'd', 'e', 'f'].map((name) => call(name, 'disconnect'))
    for (const told of await Promise.all(calls.map(flushed))) expect(told).toEqual({ settled: true, waiting: 0 })
    expect(await wrong()).toEqual([])
    expect((await db.query('SELECT FROM safetykit.dirty')).rows).toEqual([])
  })
})
