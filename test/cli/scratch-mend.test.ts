import { appendFileSync, writeFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { emulatorForTest } from '../support/emulator.js'
import { createDatabase } from '../support/postgres.js'
import { runCommand, startCommand, writeConfig } from '../support/sidecar.js'

const log = '/tmp/mend/bad.log'
test('bad day', { timeout: 580_000 }, async () => {
  writeFileSync(log, '')
  const api = await emulatorForTest({})
  const db = await createDatabase({
    sql: `CREATE TABLE products (id integer PRIMARY KEY, title text NOT NULL, n integer NOT NULL DEFAULT 0);
      INSERT INTO products SELECT g, 'T' || g FROM generate_series(1, 20) g;
      CREATE TABLE nokey (id integer, title text);
      INSERT INTO nokey VALUES (1, 'x');
      CREATE TABLE odd ("a b" integer, "A" text, title text, PRIMARY KEY ("a b", "A"));
      INSERT INTO odd SELECT g, 'k' || g, 't' || g FROM generate_series(1, 20) g`,
  })
  const env = { DATABASE_URL: db.url, SAFETYKIT_API_KEY: api.apiKey, SAFETYKIT_BASE_URL: api.url }
  const base = {
    capture: 'trigger',
    tables: { 'public.products': { namespace: 'products', fields: { title: true } } },
  }
  const dir = await writeConfig(base)
  const run = async (what: string, args: string[], cwd = dir.dir, more: Record<string, string> = {}) => {
    const started = Date.now()
    const command = startCommand(args, { cwd, env: { ...env, ...more } })
    const timer = setTimeout(() => {
      appendFileSync(log, `!!! ${what} hangs; SIGTERM\n`)
      command.kill('SIGTERM')
      setTimeout(() => command.kill('SIGKILL'), 15_000).unref()
    }, 40_000)
    const { code, signal } = await command.exited
    clearTimeout(timer)
    appendFileSync(
      log,
      `=== ${what}: ${code} ${signal} in ${Date.now() - started} ms\n${command.stdout().slice(-600)}\n--- stderr\n${command.stderr().slice(0, 1500)}\n`,
    )
  }
  await run('backfill before migrate', ['backfill'])
  await run('verify before migrate', ['verify'])
  await run('migrate', ['migrate'])
  await run('webhook without secret', ['run', '--webhook-port', '0'])
  await run('webhook broken secret', ['run', '--webhook-port', '0'], dir.dir, { SAFETYKIT_WEBHOOK_SECRET: 'whsec_###' })
  await run('webhook empty secret', ['run', '--webhook-port', '0'], dir.dir, { SAFETYKIT_WEBHOOK_SECRET: '' })
  await run('webhook no prefix', ['run', '--webhook-port', '0'], dir.dir, { SAFETYKIT_WEBHOOK_SECRET: 'hello' })
  for (const command of ['backfill', 'verify']) {
    await run(`${command} where division`, [command, '--where', '1 / n > 0'])
    await run(`${command} where no parse`, [command, '--where', 'title = ='])
    await run(`${command} where injected`, [command, '--where', 'true) OR (true'])
    await run(`${command} where comment`, [command, '--where', 'id < 5 -- only these'])
    await run(`${command} where cast`, [command, '--where', "title::integer > 0"])
    await run(`${command} where aggregate`, [command, '--where', "count(*) > 0"])
    await run(`${command} model on tables`, [command, '--model', 'Product'])
  }
  const nope = await writeConfig({ ...base, import: { spoolDirectory: '/proc/nope', minObjects: 1 } })
  await run('spool /proc/nope', ['backfill', '--force'], nope.dir)
  const file = await writeConfig({ ...base, import: { spoolDirectory: '/dev/null/x', minObjects: 1 } })
  await run('spool /dev/null/x', ['backfill', '--force'], file.dir)
  const nokey = await writeConfig({
    capture: 'trigger',
    tables: { 'public.nokey': { namespace: 'nokey', fields: { title: true } } },
  })
  await run('no key migrate', ['migrate'], nokey.dir)
  await run('no key backfill', ['backfill'], nokey.dir)
  await run('no key verify', ['verify'], nokey.dir)
  const odd = await writeConfig({
    capture: 'trigger', import: { minObjects: 1 },
    tables: { 'public.odd': { namespace: 'odd', fields: { title: true }, onDelete: 'tombstone' } },
  })
  await run('odd migrate', ['migrate'], odd.dir)
  await run('odd backfill', ['backfill'], odd.dir)
  await run('odd verify', ['verify'], odd.dir)
  await run('odd where', ['verify', '--where', '"a b" < 5'], odd.dir)
  appendFileSync(log, JSON.stringify([...api.objects('odd').keys()].slice(0, 5)))
  await run('no server', ['backfill'], dir.dir, { DATABASE_URL: 'postgresql://a:b@127.0.0.1:1/x' })
  await run('wrong base url', ['backfill', '--base-url', 'nonsense'])
  expect(1).toBe(1)
  for (const one of [dir, nope, file, nokey, odd]) await one.remove()
  await db.drop()
})
