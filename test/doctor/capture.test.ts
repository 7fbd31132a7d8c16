import { describe, expect, test } from 'vitest'
import { doctorForTest } from './rig.js'

/** Breaks something, and sees that it is told, and that what is told mends it. */
const broken: readonly (readonly [what: string, check: string, sql: string])[] = [
  ['a publication that was dropped', 'publication', 'DROP PUBLICATION safetykit'],
  ['a table that is not published any more', 'publication', 'ALTER PUBLICATION safetykit DROP TABLE products'],
  [
    'partitions published under their own names',
    'publication',
    'ALTER PUBLICATION safetykit SET (publish_via_partition_root = false)',
  ],
  ['no deletes in the publication', 'publication', "ALTER PUBLICATION safetykit SET (publish = 'insert')"],
  ['a replica identity of nothing', 'replica-identity', 'ALTER TABLE products REPLICA IDENTITY NOTHING'],
  [
    'a replica identity without the key',
    'replica-identity',
    'CREATE UNIQUE INDEX by_title ON products (title); ALTER TABLE products REPLICA IDENTITY USING INDEX by_title',
  ],
  ['row-level security', 'row-security', 'ALTER TABLE products ENABLE ROW LEVEL SECURITY'],
]

describe('with capture by replication, doctor tells, and mends by what it says:', () => {
  test.each(broken)('%s', async (_, check, sql) => {
    const rig = await doctorForTest()
    const { role, url } = await rig.roleUrl('REPLICATION')
    await rig.query(`GRANT SELECT ON products TO ${role}`)
    expect(await rig.troubles(check, { databaseUrl: url })).toEqual([])
    await rig.query(sql)
    const found = await rig.troubles(check, { databaseUrl: url })
    expect(found).toMatchObject([{ status: 'failure', found: expect.any(String), why: expect.any(String) }])
    await rig.mend(found)
    expect(await rig.troubles(check, { databaseUrl: url })).toEqual([])
  })

  test('an unlogged table, which is not in the WAL', async () => {
    const rig = await doctorForTest({ migrate: false })
    await rig.query('ALTER TABLE products SET UNLOGGED')
    const found = await rig.troubles('replica-identity')
    expect(found).toMatchObject([{ status: 'failure', found: expect.stringContaining('unlogged') }])
    await rig.mend(found)
    expect(await rig.troubles('replica-identity')).toEqual([])
  })

  test('a slot that is missing', async () => {
    const rig = await doctorForTest()
    await rig.query(`SELECT pg_drop_replication_slot('${rig.resolved.slot.name}')`)
    const found = await rig.troubles('slot')
    expect(found).toMatchObject([{ status: 'failure', fix: [{ run: 'safetykit-sync migrate' }] }])
    await rig.mend(found)
    expect(await rig.troubles('slot')).toEqual([])
  })

  test('a slot of another plugin', async () => {
    const rig = await doctorForTest({ migrate: false })
    await rig.query(`SELECT pg_create_logical_replication_slot('${rig.resolved.slot.name}', 'test_decoding')`)
    expect(await rig.troubles('slot')).toMatchObject([{ status: 'failure', found: expect.stringContaining('plugin') }])
  })

  test("large values that are not in every change, with deliver: 'every'", async () => {
    const tables = { 'public.products': { namespace: 'products', deliver: 'every', fields: { title: true } } }
    const rig = await doctorForTest({ tables })
    const found = await rig.troubles('every-version')
    expect(found).toMatchObject([{ status: 'warning', subject: 'public.products' }])
    await rig.mend(found)
    expect(await rig.troubles('every-version')).toEqual([])
  })

  test('a table without a primary key, while the others are looked at all the same', async () => {
    const rig = await doctorForTest({
      sql: 'CREATE TABLE products (id int NOT NULL, title text); CREATE TABLE sellers (id int PRIMARY KEY, name numeric)',
      tables: {
        'public.products': { namespace: 'products', fields: { title: true } },
        'public.sellers': { namespace: 'sellers', fields: { name: true } },
      },
      migrate: false,
    })
    const found = await rig.troubles('tables')
    expect(found).toMatchObject([{ status: 'failure', subject: 'tables["public.products"]' }])
    expect(await rig.troubles('values')).toMatchObject([{ subject: 'tables["public.sellers"].fields.name' }])
    expect(await rig.troubles('publication')).toMatchObject([{ status: 'skipped' }])
    await rig.mend(found)
    expect(await rig.troubles('tables')).toEqual([])
  })

  test('columns whose values can be strings, by their types', async () => {
    const rig = await doctorForTest({
      sql: `CREATE DOMAIN amount AS numeric(20, 2);
        CREATE TABLE products (id int PRIMARY KEY, big bigint, plain numeric, small numeric(12, 2), many bigint[],
          domain amount, float float8, twice bigint GENERATED ALWAYS AS (big * 2) STORED)`,
      tables: {
        'public.products': {
          namespace: 'products',
          fields: { big: true, plain: true, small: true, many: true, domain: true, float: true, twice: true },
        },
      },
    })
    const names = (await rig.troubles('values')).map(({ subject }) => subject?.split('.').at(-1))
    expect(names).toEqual(['big', 'plain', 'many', 'domain', 'float', 'twice'])
    expect(await rig.troubles('generated-columns')).toMatchObject([{ status: 'warning' }])
  })
})

describe('with capture by triggers, doctor tells, and mends by what it says:', () => {
  const triggers = { settings: { capture: 'trigger' as const } }

  test.each([
    ['a disabled trigger', 'ALTER TABLE products DISABLE TRIGGER safetykit_update'],
    ['a dropped trigger', 'DROP TRIGGER safetykit_insert ON products'],
    ['triggers that replicas do not fire', 'ALTER TABLE products ENABLE TRIGGER safetykit_insert'],
  ])('%s', async (_, sql) => {
    const rig = await doctorForTest(triggers)
    expect((await rig.doctor()).ok).toBe(true)
    await rig.query(sql)
    const found = await rig.troubles('triggers')
    expect(found).toMatchObject([{ status: 'failure', subject: 'public.products' }])
    await rig.mend(found)
    expect((await rig.doctor()).ok).toBe(true)
  })

  test('a trigger that is disabled on a partition alone', async () => {
    const rig = await doctorForTest({
      ...triggers,
      sql: `CREATE TABLE products (id int PRIMARY KEY, title text) PARTITION BY RANGE (id);
        CREATE TABLE first PARTITION OF products FOR VALUES FROM (0) TO (10)`,
    })
    await rig.query('ALTER TABLE first DISABLE TRIGGER safetykit_update')
    const found = await rig.troubles('triggers')
    expect(found).toMatchObject([{ found: expect.stringContaining('partitions') }])
    await rig.mend(found)
    expect(await rig.troubles('triggers')).toEqual([])
  })

  test('that migrate has to be run by the owner, where something has to be changed', async () => {
    const rig = await doctorForTest(triggers)
    const { role, url } = await rig.roleUrl()
    await rig.query(`GRANT USAGE ON SCHEMA safetykit TO ${role}`)
    expect(await rig.troubles('ownership', { databaseUrl: url })).toEqual([])
    const owner = await rig.roleUrl()
    await rig.query(
      `ALTER TABLE products DISABLE TRIGGER safetykit_update; ALTER TABLE products OWNER TO ${owner.role}`,
    )
    const found = await rig.troubles('ownership', { databaseUrl: url })
    expect(found).toMatchObject([{ status: 'failure', found: expect.stringContaining(owner.role) }])
    await rig.mend(found)
    expect(await rig.troubles('ownership', { databaseUrl: url })).toEqual([])
  })

  test('the slot that an earlier capture by replication has left', async () => {
    const rig = await doctorForTest(triggers)
    await rig.query(`SELECT pg_create_logical_replication_slot('${rig.resolved.slot.name}', 'pgoutput')`)
    const found = await rig.troubles('leftover-slot')
    expect(found).toMatchObject([{ status: 'warning' }])
    await rig.mend(found)
    expect(await rig.troubles('leftover-slot')).toEqual([])
  })
})
