import { expect, test } from 'vitest'
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
