import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import { defineSync } from '../../src/index.js'
import { type ExtensionRig, extensionRig } from './rig.js'

const root = fileURLToPath(new URL('../../', import.meta.url))
const script = 'test/extension/scripts/write-and-end.ts'

/** Runs it until it ends by itself; a minute is the end of all patience. */
async function run(rig: ExtensionRig, ...words: string[]): Promise<string> {
  const { databaseUrl = '', apiKey = '', baseUrl = '' } = rig.options
  const env = { ...process.env, DATABASE_URL: databaseUrl, SAFETYKIT_API_KEY: apiKey, SAFETYKIT_BASE_URL: baseUrl }
  const options = { cwd: root, env, timeout: 60_000 }
  const { stdout, stderr } = await promisify(execFile)(process.execPath, ['--import', 'tsx', script, ...words], options)
  expect(stderr).toBe('')
  return stdout
}

async function shop(): Promise<ExtensionRig> {
  const rig = await extensionRig()
  await rig.migrate(defineSync(rig.prisma, { models: { Seller: { namespace: 'sellers', fields: { name: true } } } }))
  return rig
}

describe('a script without $disconnect', () => {
  test('ends by itself, and every key is settled or left', async () => {
    const rig = await shop()
    await run(rig)
    const { rows } = await rig.db.query(
      `SELECT (SELECT count(*) FROM safetykit.dirty)::int + (SELECT count(*) FROM safetykit.objects)::int AS keys`,
    )
    expect(rows[0]?.keys).toBeGreaterThanOrEqual(20)
  })

  test('ends after its answers, and what it flushed is accepted', async () => {
    const rig = await shop()
    const [flushed, status] = (await run(rig, 'flush', 'status')).trim().split('\n')
    expect(JSON.parse(flushed ?? '')).toMatchObject({ settled: true, waiting: 0 })
    expect(JSON.parse(status ?? '')).toMatchObject({ state: 'accepted' })
    expect(rig.emulator.objects('sellers').size).toBe(20)
    // A function that is frozen now keeps nothing from the other instances.
    const held = `SELECT name FROM safetykit.leases WHERE holder IS NOT NULL AND expires_at > now()`
    expect((await rig.db.query(held)).rows).toEqual([])
  })
})
