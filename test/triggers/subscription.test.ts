import { expect, onTestFinished, test } from 'vitest'
import { createDatabase } from '../support/postgres.js'
import { soon } from '../support/soon.js'
import { captureForTest } from './rig.js'

const sql = 'CREATE TABLE products (id integer PRIMARY KEY, title text, n integer)'
const tables = { 'public.products': { namespace: 'products', fields: { title: true }, onDelete: 'tombstone' } }

test('what a subscription applies is captured: the check tells of a table that was subscribed to, migrate mends it', async () => {
  const publisher = await createDatabase({ sql })
  onTestFinished(() => publisher.drop())
  const rig = await captureForTest({ sql, tables })
  const name = rig.db.name
  await publisher.query('CREATE PUBLICATION products FOR TABLE products')
  await publisher.query("SELECT pg_create_logical_replication_slot($1, 'pgoutput')", [name])
  const url = new URL(publisher.url)
  const connection = `host=${url.hostname} port=${url.port} user=${url.username} password=${url.password} dbname=${publisher.name}`
  await rig.db.query(`CREATE SUBSCRIPTION ${name} CONNECTION '${connection}' PUBLICATION products
    WITH (create_slot = false, copy_data = false, slot_name = '${name}')`)
  onTestFinished(async () => {
    await rig.db.query(`ALTER SUBSCRIPTION ${name} DISABLE`)
    await rig.db.query(`ALTER SUBSCRIPTION ${name} SET (slot_name = NONE)`)
    await rig.db.query(`DROP SUBSCRIPTION ${name}`)
  })
  // The apply worker fires row triggers alone.
  expect((await rig.check())[0]?.message).toContain('the trigger safetykit_insert of public.products is another one')
  await rig.migrate()
  expect(await rig.check()).toEqual([])

  await publisher.query("INSERT INTO products VALUES (1, 'a'), (2, 'b'); UPDATE products SET title = 'c' WHERE id = 1")
  await publisher.query('UPDATE products SET n = 1; DELETE FROM products WHERE id = 2')
  await soon(async () => {
    expect((await rig.captured()).map(({ key }) => key?.id)).toEqual(['1', '2', '1', '2'])
  })
})
