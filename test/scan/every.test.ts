import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { soon } from '../support/soon.js'
import { scanRig } from './rig.js'

const options = {
  sql: `CREATE TABLE products (id integer PRIMARY KEY, title text); INSERT INTO products SELECT i, 't' FROM generate_series(1, 10) AS i`,
  tables: { 'public.products': { namespace: 'products', fields: { title: true } } },
}

test('a table is scanned again and again without a mark', async () => {
  const rig = await scanRig(options)
  const scanner = rig.start({ everyMs: 300 })
  await soon(async () => expect(await rig.waiting()).toHaveLength(10))
  await rig.deliver()
  await rig.db.query(`UPDATE products SET title = 'silent' WHERE id = 3`)
  await soon(async () => expect(await rig.waiting()).toContainEqual({ id: '3' }))
  await scanner.stop()
})

test('no scan is due before its time, and of many processes one marks the table', async () => {
  const rig = await scanRig(options)
  const names = ['public.products']
  const overdue = (everyMs: number) => Promise.all([1, 2, 3, 4].map(() => rig.scans.markOverdue(names, everyMs)))
  await overdue(60_000)
  await overdue(60_000)
  expect(await rig.scans.marked(names)).toEqual([])
  await sleep(60)
  await overdue(50)
  expect((await rig.db.query('SELECT FROM safetykit.dirty')).rowCount).toBe(1)
  // It is marked already.
  await sleep(60)
  await overdue(50)
  expect((await rig.db.query('SELECT FROM safetykit.dirty')).rowCount).toBe(1)
})

test('a scan for another reason puts the next one off', async () => {
  const rig = await scanRig(options)
  const names = ['public.products']
  await rig.scans.markOverdue(names, 300)
  await sleep(350)
  await rig.scans.finish(await rig.scans.start('public.products', 'mark'))
  await rig.scans.markOverdue(names, 300)
  expect(await rig.scans.marked(names)).toEqual([])
})
