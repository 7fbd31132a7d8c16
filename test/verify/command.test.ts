import { afterEach, beforeEach, expect, test } from 'vitest'
import { createDatabase, type TestDatabase } from '../support/postgres.js'
import { type ConfigDirectory, runCommand, writeConfig } from '../support/sidecar.js'

let db: TestDatabase
let directory: ConfigDirectory

beforeEach(async () => {
  db = await createDatabase({ sql: `CREATE TABLE products (id integer PRIMARY KEY, title text NOT NULL)` })
  directory = await writeConfig({
    capture: 'trigger',
    deliver: 'sidecar',
    tables: { 'public.products': { namespace: 'products', fields: { title: true } } },
  })
  expect(await run('migrate')).toMatchObject({ code: 0 })
})

afterEach(async () => {
  await directory.remove()
  await db.drop()
})

const run = (...args: string[]) => runCommand(args, { cwd: directory.dir, env: { DATABASE_URL: db.url } })

test('an empty table is in step: exit code 0, and nothing on stderr', async () => {
  const { code, stdout, stderr } = await run('verify')
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  expect(stdout).toContain('Everything is in step.')
})

test('where anything differs the exit code is 1, and the counts stand in the table and in the JSON', async () => {
  await db.query(`INSERT INTO products SELECT i, 'secret title' FROM generate_series(1, 1234) AS i`)
  const text = await run('verify')
  expect(text).toMatchObject({ code: 1, stderr: '' })
  expect(text.stdout).toMatch(/public\.products +products +1,234 +0 +1,234/)
  expect(text.stdout).toContain('1,234 keys wait')
  expect(text.stdout).not.toContain('secret')
  const json = await run('verify', '--json', '--where', 'id <= 4')
  expect(json.code).toBe(1)
  expect(JSON.parse(json.stdout)).toMatchObject({
    inStep: false,
    tables: [{ rows: 4, mappings: [{ missing: 4, gone: null }] }],
  })
})

test('a condition or a name that cannot be used is told, with exit code 2', async () => {
  expect(await run('verify', '--where', 'title >')).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('syntax error'),
  })
  expect(await run('verify', '--table', 'public.product')).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('Did you mean public.products?'),
  })
})
