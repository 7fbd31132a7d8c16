import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, onTestFinished, test } from 'vitest'
import { startEmulator } from '../../src/emulator/index.js'
import { migrate } from '../../src/pipeline.js'
import { differences, settled } from '../support/in-step.js'
import { expectedObjects, marketplaceSync } from '../support/marketplace.js'
import { createDatabase } from '../support/postgres.js'
import { applyMigrations, connectPrisma } from '../support/prisma.js'
import { type Program, startProgram } from '../support/program.js'
import { soon } from '../support/soon.js'

const kills = { trigger: 20, client: 10 }

async function shop(capture: keyof typeof kills) {
  const db = await createDatabase()
  const emulator = await startEmulator()
  onTestFinished(async () => {
    await emulator.close()
    await db.drop()
  })
  await applyMigrations(db.url)
  const { resolved } = marketplaceSync(connectPrisma(db.url), { capture })
  await migrate({ resolved, databaseUrl: db.url })
  const start = (): Program =>
    startProgram(new URL('./application.ts', import.meta.url), {
      CAPTURE: capture,
      DATABASE_URL: db.url,
      SAFETYKIT_BASE_URL: emulator.url,
      SAFETYKIT_API_KEY: emulator.apiKey,
    })
  return { db, emulator, start }
}

describe.each(['trigger', 'client'] as const)('capture: %s', (capture) => {
  test(`two instances, one of them killed at ${kills[capture]} random moments: nothing is lost, and no object is with two of them`, async () => {
    const { db, emulator, start } = await shop(capture)
    // Answers take a moment, so that requests are in flight when their sender dies.
    emulator.faults.add({ do: { latencyMs: 20 } })
    let instances = [start(), start()]
    const moments: number[] = []
    for (let kill = 0; kill < kills[capture]; kill += 1) {
      const [victim, ...others] = instances
      await victim?.printed('writing')
      const moment = Math.round(Math.random() * 1_000)
      moments.push(moment)
      await sleep(moment)
      victim?.kill('SIGKILL')
      expect(await victim?.exited).toMatchObject({ signal: 'SIGKILL' })
      instances = [...others, start()]
    }
    await Promise.all(instances.map((instance) => instance.printed('writing')))
    // However busy the machine: they go on writing until enough was sent.
    await soon(() => expect(emulator.stats.acceptedObjects).toBeGreaterThan(500))
    // Keys in every part of the key space, so that the survivors have taken over all of it when they are settled.
    await db.query(`INSERT INTO safetykit.dirty (source, key)
      SELECT 'public.Seller', jsonb_build_object('id', n::text) FROM generate_series(1, 1000) n`)
    for (const instance of instances) instance.kill('SIGTERM')
    for (const instance of instances) {
      expect({ ...(await instance.exited), output: instance.output() }).toEqual({
        code: 0,
        signal: null,
        output: 'writing\n',
      })
    }
    await settled(db)
    const wrong = await differences({ db, emulator, expected: expectedObjects })
    const story = `killed after ${moments.join(', ')} ms`
    expect({ story, wrong, violations: emulator.violations }).toEqual({ story, wrong: [], violations: [] })
    const held = await db.query(`SELECT name, expires_at FROM safetykit.leases WHERE holder IS NOT NULL
      AND (name LIKE 'dirty %' OR expires_at > clock_timestamp())`)
    expect(held.rows).toEqual([])
  })
})
