import pg from 'pg'
import { expect, onTestFinished, test } from 'vitest'
import { migrateLedger } from '../../src/ledger/migrate.js'
import { doctorForTest } from './rig.js'

test('a role that lacks rights is told each of them, and the SQL that is told is enough', async () => {
  const rig = await doctorForTest({
    sql: 'CREATE SCHEMA shop; CREATE TABLE shop.products (id int PRIMARY KEY, title text)',
    tables: { 'shop.products': { namespace: 'products', fields: { title: true } } },
  })
  const { role, url } = await rig.roleUrl()
  const failing = async (): Promise<string[]> => {
    const { findings } = await rig.doctor({ databaseUrl: url })
    return findings.filter(({ status }) => status === 'failure').map(({ check }) => check)
  }
  expect(await failing()).toEqual(['read-rights', 'replication-role', 'replication-connection', 'side-table-rights'])
  for (const check of ['read-rights', 'replication-role', 'side-table-rights']) {
    const found = await rig.troubles(check, { databaseUrl: url })
    expect(JSON.stringify(found)).toContain(role)
    await rig.mend(found)
  }
  expect(await failing()).toEqual([])
})

test('a role that may not write all side tables is told, and the SQL that is told is enough', async () => {
  const rig = await doctorForTest()
  const { role, url } = await rig.roleUrl('REPLICATION')
  await rig.query(
    `GRANT USAGE ON SCHEMA safetykit TO ${role}; GRANT SELECT ON ALL TABLES IN SCHEMA safetykit TO ${role}`,
  )
  const found = await rig.troubles('side-table-rights', { databaseUrl: url })
  expect(found).toMatchObject([{ status: 'failure', found: expect.stringContaining('objects') }])
  await rig.mend(found)
  expect(await rig.troubles('side-table-rights', { databaseUrl: url })).toEqual([])
})

test('a role that may not make what is missing is told before migrate fails', async () => {
  const rig = await doctorForTest({ migrate: false })
  const { role, url } = await rig.roleUrl('REPLICATION')
  await rig.query(`ALTER TABLE products OWNER TO ${role}`)
  const found = [
    ...(await rig.troubles('migrate-rights', { databaseUrl: url })),
    ...(await rig.troubles('ownership', { databaseUrl: url })),
  ]
  expect(found).toMatchObject([{ status: 'failure' }, { status: 'failure' }])
  await expect(rig.migrate(url)).rejects.toThrow()
  await rig.mend(found)
  await rig.migrate(url)
  expect((await rig.doctor({ databaseUrl: url })).ok).toBe(true)
})

test('side tables of another version are told', async () => {
  const rig = await doctorForTest()
  await rig.query('INSERT INTO safetykit.migrations (version, name) VALUES (99, $$newer$$)')
  expect(await rig.troubles('side-tables')).toMatchObject([{ status: 'failure', found: expect.stringContaining('99') }])
})

test('a role that was given the schema itself, or rights on it, may make the side tables', async () => {
  const rig = await doctorForTest({ migrate: false })
  const { role, url } = await rig.roleUrl('REPLICATION')
  await rig.query(`ALTER TABLE products OWNER TO ${role}; CREATE SCHEMA safetykit`)
  expect(await rig.troubles('side-table-rights', { databaseUrl: url })).toMatchObject([{ status: 'failure' }])
  await rig.query(`GRANT USAGE ON SCHEMA safetykit TO ${role}`)
  expect(await rig.troubles('migrate-rights', { databaseUrl: url })).toMatchObject([{ status: 'failure' }])
  await rig.query(`GRANT CREATE ON SCHEMA safetykit TO ${role}`)
  expect(await rig.troubles('migrate-rights', { databaseUrl: url })).toEqual([])
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  await migrateLedger(client, 'safetykit').finally(() => client.end())
})

test('several tables are looked at one after the other over the one connection', async () => {
  const names = ['beds', 'chairs', 'desks']
  const mapping = (namespace: string) => ({ namespace, deliver: 'every', fields: { title: true } })
  const rig = await doctorForTest({
    sql: names.map((name) => `CREATE TABLE ${name} (id int PRIMARY KEY, title text);`).join(' '),
    tables: Object.fromEntries(names.map((name) => [`public.${name}`, mapping(name)])),
  })
  const warnings: string[] = []
  const listen = ({ message }: Error): void => void warnings.push(message)
  process.on('warning', listen)
  onTestFinished(() => void process.off('warning', listen))
  await rig.doctor()
  // A warning is told in the next turn.
  await new Promise(setImmediate)
  expect(warnings).toEqual([])
})
