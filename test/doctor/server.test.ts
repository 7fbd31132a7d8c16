import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type OwnServer, ownServer } from '../support/postgres.js'
import { soon } from '../support/soon.js'
import { doctorForTest } from './rig.js'

let server: OwnServer
beforeAll(async () => {
  // Everything that can be set by SQL is left to it: flags of the command line would win.
  server = await ownServer({ flags: { max_wal_size: '64MB', min_wal_size: '32MB' } })
})
afterAll(() => server.remove())

async function database(name: string): Promise<string> {
  const client = new pg.Client({ connectionString: server.url() })
  await client.connect()
  await client.query(`CREATE DATABASE ${name}`)
  await client.end()
  return server.url(name)
}

describe('settings of the server that are told, and mended by what is told:', () => {
  test.each([
    ['wal-sender-timeout', 'wal_sender_timeout', "'0'"],
    ['wal-sender-timeout', 'wal_sender_timeout', "'2s'"],
    ['max-slot-wal-keep-size', 'max_slot_wal_keep_size', '-1'],
    ['max-slot-wal-keep-size', 'max_slot_wal_keep_size', "'64MB'"],
    ['idle-slot-timeout', 'idle_replication_slot_timeout', "'1h'"],
  ])('%s, where %s is %s', async (check, name, value) => {
    const rig = await doctorForTest({ url: await database(`d${Math.random().toString(36).slice(2)}`), migrate: false })
    await rig.query(`ALTER SYSTEM SET ${name} = ${value}`)
    await rig.query('SELECT pg_reload_conf()')
    const found = await soon(async () => {
      const troubles = await rig.troubles(check)
      expect(troubles).toMatchObject([{ status: 'warning' }])
      return troubles
    })
    await rig.mend(found)
    await soon(async () => expect(await rig.troubles(check)).toEqual([]))
  })
})

test('a slot that the server has given up is told, and mended by what is told', async () => {
  const rig = await doctorForTest({ url: await database('lost') })
  await rig.query("ALTER SYSTEM SET max_slot_wal_keep_size = '16MB'")
  await rig.query('SELECT pg_reload_conf()')
  const found = await soon(async () => {
    await rig.query(`SELECT pg_logical_emit_message(false, 'fill', repeat('x', 1000000)) FROM generate_series(1, 20)`)
    await rig.query('SELECT pg_switch_wal()')
    await rig.query('CHECKPOINT')
    const troubles = await rig.troubles('slot')
    expect(troubles).toMatchObject([{ status: 'failure', found: expect.stringContaining('invalidated') }])
    return troubles
  })
  await rig.query('ALTER SYSTEM RESET max_slot_wal_keep_size')
  await rig.query('SELECT pg_reload_conf()')
  await rig.mend(found)
  expect(await rig.troubles('slot')).toEqual([])
  await rig.query("SELECT pg_drop_replication_slot('safetykit')")
})

test('a slot that a standby of the server would not know is told', async () => {
  const rig = await doctorForTest({ url: await database('failover'), migrate: false })
  await rig.query("SELECT pg_create_logical_replication_slot('safetykit', 'pgoutput')")
  expect(await rig.troubles('failover')).toEqual([])
  await rig.query("SELECT pg_create_physical_replication_slot('standby')")
  const [found] = await rig.troubles('failover')
  expect(found).toMatchObject({ status: 'warning' })
  const command = found?.fix.flatMap((step) => ('run' in step ? [step.run] : []))[0] ?? ''
  const replication = { connectionString: rig.url, replication: 'database' } as pg.ClientConfig
  const client = new pg.Client(replication)
  await client.connect()
  await client.query(/-c '(.*)'/.exec(command)?.[1] ?? '')
  await client.end()
  expect(await rig.troubles('failover')).toEqual([])
  await rig.query("SELECT pg_drop_replication_slot('standby'), pg_drop_replication_slot('safetykit')")
})

test('that nobody reads the slot, and a reader that is none of ours, are told', async () => {
  const rig = await doctorForTest({ url: await database('readers') })
  expect(await rig.troubles('slot-reader')).toMatchObject([{ status: 'warning', fix: [{ run: 'safetykit-sync run' }] }])
  const client = new pg.Client({
    connectionString: rig.url,
    replication: 'database',
    application_name: 'else',
  } as never)
  client.on('error', () => {})
  await client.connect()
  const reading = client
    .query(`START_REPLICATION SLOT safetykit LOGICAL 0/0 (proto_version '1', publication_names 'safetykit')`)
    .catch(() => {})
  const found = await soon(async () => {
    const troubles = await rig.troubles('slot-reader')
    expect(troubles).toMatchObject([{ found: expect.stringContaining('else') }])
    return troubles
  })
  await rig.mend(found)
  await reading
  await rig.query("SELECT pg_drop_replication_slot('safetykit')")
})

test('a server without logical WAL, with full slots and senders, tells each with what mends it after a restart', async () => {
  const bare = await ownServer({ flags: { wal_level: 'replica', max_replication_slots: '1', max_wal_senders: '0' } })
  try {
    const rig = await doctorForTest({ url: bare.url(), migrate: false })
    await rig.query("SELECT pg_create_physical_replication_slot('other')")
    const { findings, ok } = await rig.doctor()
    expect(ok).toBe(false)
    const failed = findings.filter(({ status }) => status === 'failure')
    expect(failed.map(({ check }) => check)).toEqual(
      expect.arrayContaining(['wal-level', 'slots', 'wal-senders', 'replication-connection']),
    )
    // The command line of this server wins over ALTER SYSTEM: what can be seen is that the SQL is taken as it stands.
    await rig.mend(failed.filter(({ check }) => ['wal-level', 'slots', 'wal-senders'].includes(check)))
    const { rows } = await rig.query(
      "SELECT name, setting FROM pg_file_settings WHERE name LIKE 'max_%' OR name = 'wal_level'",
    )
    expect(rows).toEqual(
      expect.arrayContaining([
        { name: 'wal_level', setting: 'logical' },
        { name: 'max_replication_slots', setting: '11' },
        { name: 'max_wal_senders', setting: '10' },
      ]),
    )
  } finally {
    await bare.remove()
  }
})
