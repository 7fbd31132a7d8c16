import { expect, onTestFinished, test } from 'vitest'
import { type Rig, rigForTest } from '../support/pipeline.js'
import { startCommand, writeConfig } from '../support/sidecar.js'
import { soon } from '../support/soon.js'

const fields = { title: true }
const tables = {
  'public.products': { namespace: 'products', fields, onDelete: 'tombstone' },
  'public.shops': { namespace: 'shops', fields },
}

/** Twenty products and twenty shops are known. */
async function known(): Promise<Rig> {
  const rig = await rigForTest({
    sql: 'CREATE TABLE products (id integer PRIMARY KEY, title text NOT NULL); CREATE TABLE shops (LIKE products INCLUDING ALL)',
    tables,
  })
  for (const table of ['products', 'shops']) {
    await rig.db.query(`INSERT INTO ${table} SELECT n, 'old' FROM generate_series(1, 20) n`)
  }
  await rig.caughtUp()
  return rig
}

const missed = (rig: Rig) =>
  rig.db.query(`UPDATE products SET title = 'new' WHERE id = 1; INSERT INTO products VALUES (21, 'new');
    DELETE FROM products WHERE id = 2; UPDATE shops SET title = 'new' WHERE id = 1`)

async function expectFound(rig: Rig): Promise<void> {
  await soon(() => {
    expect(rig.sent('products')).toMatchObject({ 1: { title: 'new' }, 2: { deleted: true }, 21: { title: 'new' } })
  })
  await soon(async () => expect(await rig.side('dirty')).toEqual([]))
  for (let id = 3; id <= 20; id += 1) expect(rig.versions('products', String(id))).toBe(1)
  await soon(() => expect(rig.sent('shops')).toMatchObject({ 1: { title: 'new' } }))
  await rig.db.query(`INSERT INTO products VALUES (22, 'live')`)
  await soon(() => expect(rig.sent('products')).toHaveProperty('22'))
}

const scanned = async (rig: Rig) => (await rig.side<{ source: string }>('scans')).map(({ source }) => source)

test('a table that was taken out of the publication: migrate puts it back, and what was missed is found', async () => {
  const rig = await known()
  await rig.stop()
  await rig.db.query('ALTER PUBLICATION safetykit DROP TABLE products')
  await missed(rig)
  const done = await rig.migrate()
  expect(done).toContainEqual(expect.stringContaining('ADD TABLE'))
  expect(done.filter((line) => line.startsWith('Marked'))).toEqual([expect.stringContaining('public.products')])
  await rig.start()
  await expectFound(rig)
})

test('the same while a sidecar runs, and with a transaction that wrote before and commits after', async () => {
  const rig = await known()
  await rig.db.query('ALTER PUBLICATION safetykit DROP TABLE products')
  const open = await rig.db.client()
  await open.query(`BEGIN; UPDATE products SET title = 'late' WHERE id = 5`)
  await missed(rig)
  const migrating = rig.migrate()
  await soon(async () =>
    expect((await rig.db.query(`SELECT FROM pg_publication_tables WHERE tablename = 'products'`)).rowCount).toBe(1),
  )
  await soon(async () => expect(await scanned(rig)).toContain('public.products'))
  await open.query('COMMIT')
  await migrating
  await soon(() => expect(rig.sent('products')).toMatchObject({ 5: { title: 'late' } }))
  expect(await scanned(rig)).toEqual(['public.products'])
})

test('a migrate that was killed while it waited for such a transaction is finished by the next one', async () => {
  const rig = await known()
  const config = { capture: 'replication', slot: { name: rig.db.name }, results: 'off', tables }
  const directory = await writeConfig(config)
  onTestFinished(() => directory.remove())
  await rig.db.query('ALTER PUBLICATION safetykit DROP TABLE products')
  const open = await rig.db.client()
  await open.query(`BEGIN; UPDATE products SET title = 'late' WHERE id = 5`)
  await missed(rig)
  const migrating = startCommand(['migrate'], { cwd: directory.dir, env: { DATABASE_URL: rig.db.url } })
  await soon(async () =>
    expect((await rig.db.query(`SELECT FROM pg_publication_tables WHERE tablename = 'products'`)).rowCount).toBe(1),
  )
  await soon(() => expect(rig.sent('products')).toMatchObject({ 21: { title: 'new' } }))
  await soon(async () => expect(await rig.side('dirty')).toEqual([]))
  await soon(() => expect(migrating.stderr()).toContain('Waiting for transactions'))
  migrating.kill('SIGKILL')
  await migrating.exited
  await open.query('COMMIT')

  expect(await rig.migrate()).toEqual([expect.stringContaining('Marked public.products')])
  await soon(() => expect(rig.sent('products')).toMatchObject({ 5: { title: 'late' } }))
  expect(await rig.migrate()).toEqual([])
})

test('rows that a filter kept back, and operations that were left out, are found as well', async () => {
  const rig = await known()
  await rig.db.query('ALTER PUBLICATION safetykit SET TABLE ONLY products, ONLY shops')
  await rig.db.query(`ALTER PUBLICATION safetykit SET (publish = 'insert')`)
  await missed(rig)
  const done = await rig.migrate()
  expect(done.filter((line) => line.startsWith('Marked'))).toHaveLength(2)
  await expectFound(rig)
})

test('a table that was never delivered is not marked, nor is any where nothing was left out', async () => {
  const rig = await known()
  await rig.db.query('CREATE TABLE posts (LIKE products INCLUDING ALL)')
  await rig.stop()
  const more = { tables: { ...tables, 'public.posts': { namespace: 'posts', fields } } }
  const done = await rig.migrate(more)
  expect(done).toEqual([expect.stringContaining('ADD TABLE ONLY "public"."posts"')])
  expect(await rig.migrate(more)).toEqual([])
  await rig.start(more)
  await rig.db.query(`INSERT INTO posts VALUES (1, 'a')`)
  await soon(() => expect(rig.sent('posts')).toHaveProperty('1'))
  expect(await rig.side('scans')).toEqual([])
})
