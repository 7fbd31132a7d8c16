import { expect, test } from 'vitest'
import { ConfigError, SyncError } from '../../src/errors.js'
import { doctorForTest, productsMapping } from './rig.js'

test('mistakes of the configuration are told one by one, and the rest is looked at as far as it can be', async () => {
  const rig = await doctorForTest({ migrate: false })
  const mistakes = [
    { path: 'models.Prodct', message: 'there is no model of this name', hint: 'did you mean Product?' },
    { path: 'slot.name', message: 'is no name', hint: undefined },
  ]
  const config = (): never => {
    throw new ConfigError(mistakes)
  }
  const { findings, ok } = await rig.doctor({ settings: { config: async () => config() } })
  expect(ok).toBe(false)
  expect(findings.filter(({ check }) => check === 'configuration')).toMatchObject([
    { status: 'failure', subject: 'models.Prodct', fix: [{ do: 'did you mean Product?' }] },
    { status: 'failure', subject: 'slot.name', fix: [] },
  ])
  const of = (check: string) => findings.find((one) => one.check === check)?.status
  expect([of('connection'), of('tables'), of('api-answer')]).toEqual(['ok', 'skipped', 'ok'])
})

test('settings that are missing are told with where to set them', async () => {
  const rig = await doctorForTest({ migrate: false })
  const missing = (name: string) => (): never => {
    throw new SyncError('SETTING_MISSING', `${name} is not set`, { hint: `Set ${name}` })
  }
  const settings = { databaseUrl: missing('DATABASE_URL'), apiKey: missing('SAFETYKIT_API_KEY') }
  expect(await rig.troubles('connection', { settings })).toMatchObject([
    { status: 'failure', fix: [{ do: 'Set DATABASE_URL' }] },
  ])
  expect(await rig.troubles('key-setting', { settings })).toMatchObject([{ status: 'failure' }])
})

test('webhooks without a secret, a folder that cannot be written and a Node that is too old are told', async () => {
  const rig = await doctorForTest({
    settings: { results: 'webhook', import: { spoolDirectory: '/dev/null/spool' } },
    migrate: false,
  })
  const webhookSecrets = (): never => {
    throw new SyncError('SETTING_MISSING', 'SAFETYKIT_WEBHOOK_SECRET is not set')
  }
  expect(await rig.troubles('webhook-secret', { settings: { webhookSecrets } })).toMatchObject([{ status: 'warning' }])
  expect(await rig.troubles('spool')).toMatchObject([{ status: 'failure', found: expect.stringContaining('ENOTDIR') }])
  expect(await rig.troubles('node', { nodeVersion: 'v18.20.0' })).toMatchObject([{ status: 'failure' }])
  expect(await rig.troubles('node', { nodeVersion: 'v24.0.0' })).toEqual([])
})

test('too little room for the files of imports is a warning', async () => {
  const rig = await doctorForTest({
    settings: { import: { maxPartBytes: Number.MAX_SAFE_INTEGER } },
    tables: productsMapping,
    migrate: false,
  })
  expect(await rig.troubles('spool')).toMatchObject([{ status: 'warning' }])
})

test('processes that went silent, that hang or spill, and leases of one that died, are told', async () => {
  const rig = await doctorForTest()
  const beat = (state: string, at: string): Promise<unknown> =>
    rig.query(`DELETE FROM safetykit.heartbeats; INSERT INTO safetykit.heartbeats (process, started_at, beat_at, state, since)
      VALUES (gen_random_uuid(), now() - interval '1 h', ${at}, '${state}', now() - interval '1 h')`)
  expect(await rig.troubles('processes')).toEqual([])
  await beat('streaming', 'now()')
  expect(await rig.troubles('processes')).toEqual([])
  await beat('streaming', "now() - interval '10 min'")
  expect((await rig.troubles('processes')).map(({ found }) => found)).toEqual([
    expect.stringContaining('10 min'),
    'no process delivers',
  ])
  await beat('stopped', "now() - interval '10 min'")
  expect(await rig.troubles('processes')).toMatchObject([{ found: 'no process delivers' }])
  await beat('stalled', 'now()')
  expect(await rig.troubles('processes')).toMatchObject([{ status: 'failure' }])
  await beat('spilling', 'now()')
  expect(await rig.troubles('processes')).toMatchObject([{ status: 'warning' }])

  expect(await rig.troubles('leases')).toEqual([])
  await rig.query(`INSERT INTO safetykit.leases (name, holder, expires_at) VALUES ('dirty 1', 'x', now() - interval '1 min');
    INSERT INTO safetykit.dirty (source, key) VALUES ('public.products', '{"id":"1"}')`)
  expect(await rig.troubles('leases')).toMatchObject([{ status: 'warning' }])
})
