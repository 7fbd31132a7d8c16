import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { startEmulator } from '../../src/emulator/index.js'
import { createDatabase } from '../support/postgres.js'
import { killedSidecar, runCommand, startSidecar, writeConfig } from '../support/sidecar.js'
import { soon } from '../support/soon.js'

test('killed with SIGKILL under load, every version still comes, in order: some of them twice, none after a later one was recorded', async () => {
  const db = await createDatabase({
    sql: `CREATE TABLE posts (id int PRIMARY KEY, title text); INSERT INTO posts SELECT n, '0' FROM generate_series(1, 8) AS n`,
  })
  const emulator = await startEmulator()
  const directory = await writeConfig({
    capture: 'replication',
    slot: { name: db.name },
    results: 'off',
    delivery: { maxBatchObjects: 4, retryBaseMs: 10, retryMaxMs: 50, requestTimeoutMs: 200, maxBatchAgeMs: 2 },
    tables: { 'public.posts': { namespace: 'posts', fields: { title: true }, deliver: 'every' } },
  })
  const env = { DATABASE_URL: db.url, SAFETYKIT_BASE_URL: emulator.url, SAFETYKIT_API_KEY: emulator.apiKey }
  const options = { cwd: directory.dir, env }
  try {
    expect(await runCommand(['migrate'], options)).toMatchObject({ code: 0 })
    emulator.faults.add({ when: { path: 'add', probability: 0.3, seed: 1 }, do: { latencyMs: 30 } })
    emulator.faults.add({ when: { path: 'add', probability: 0.1, seed: 2 }, do: { resetAfterAccept: true } })
    emulator.faults.add({ when: { path: 'add', probability: 0.1, seed: 3 }, do: { status: 500 } })
    let last = 0
    let stopped = false
    const load = (async () => {
      while (!stopped) {
        last += 1
        await db.query('UPDATE posts SET title = $1', [String(last)])
        await sleep(40)
      }
    })()
    const moments: number[] = []
    for (let kill = 0; kill < 5; kill += 1) moments.push(await killedSidecar(options, 500))
    stopped = true
    await load
    const sidecar = startSidecar(options)
    const told = `killed after ${moments.join(', ')} ms`
    await soon(() => {
      for (let id = 1; id <= 8; id += 1) {
        expect(emulator.history('posts', String(id)).at(-1)?.data.title, told).toBe(String(last))
      }
    })
    sidecar.kill('SIGTERM')
    expect(await sidecar.exited).toMatchObject({ code: 0 })
    for (let id = 1; id <= 8; id += 1) {
      const sent = emulator.history('posts', String(id)).map(({ data }) => Number(data.title))
      expect(new Set(sent), told).toEqual(new Set(Array.from({ length: last }, (_, n) => n + 1)))
      // A crash goes back to what was not recorded, and from there comes everything again.
      for (const [index, version] of sent.entries())
        expect(version, told).toBeLessThanOrEqual((sent[index - 1] ?? 0) + 1)
    }
    expect(emulator.violations).toEqual([])
  } finally {
    await directory.remove()
    await emulator.close()
    await db.drop()
  }
})
