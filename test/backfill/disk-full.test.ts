import { execFile } from 'node:child_process'
import { readdir } from 'node:fs/promises'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, onTestFinished, test } from 'vitest'
import { emulatorForTest } from '../support/emulator.js'
import { createDatabase } from '../support/postgres.js'
import { runCommand, startCommand, writeConfig } from '../support/sidecar.js'
import { soon } from '../support/soon.js'

const root = fileURLToPath(new URL('../../', import.meta.url))

async function rig(spoolDirectory: string) {
  const emulator = await emulatorForTest()
  const db = await createDatabase({
    sql: `CREATE TABLE products (id integer PRIMARY KEY, title text);
      INSERT INTO products SELECT n, repeat('x', 2000) FROM generate_series(1, 3000) n`,
  })
  onTestFinished(() => db.drop())
  const directory = await writeConfig({
    capture: 'trigger',
    results: 'off',
    delivery: { retryBaseMs: 10 },
    import: { minObjects: 1, maxPartObjects: 1_000, spoolDirectory },
    tables: { 'public.products': { namespace: 'products', fields: { title: true } } },
  })
  onTestFinished(() => directory.remove())
  const env = { DATABASE_URL: db.url, SAFETYKIT_BASE_URL: emulator.url, SAFETYKIT_API_KEY: emulator.apiKey }
  expect(await runCommand(['migrate'], { cwd: directory.dir, env })).toMatchObject({ code: 0, stderr: '' })
  const spooled = async () =>
    (await readdir(path.join(directory.dir, spoolDirectory), { recursive: true })).filter((file) =>
      /\.(jsonl|manifest)$/.test(file),
    )
  return { emulator, db, directory, env, spooled }
}

test('a disk that is full is told, nothing is half done, and the same command succeeds once there is room', async () => {
  const { emulator, db, directory, env, spooled } = await rig('spool')
  const fromSource = process.env.SIDECAR_FROM === 'src'
  const main = path.join(root, fromSource ? 'src/cli/main.ts' : 'dist/cli/main.js')
  const tsx = fromSource ? `--import ${import.meta.resolve('tsx')}` : ''
  // Of files of more than a MiB the rest cannot be written.
  const failed = await promisify(execFile)(
    'sh',
    ['-c', `ulimit -f 2048; exec "${process.execPath}" ${tsx} "${main}" backfill`],
    {
      cwd: directory.dir,
      env: { PATH: process.env.PATH, ...env },
    },
  ).then(
    () => ({ code: 0, stderr: '' }),
    (error: { code: number; stderr: string }) => error,
  )
  expect(failed.stderr).toMatch(/^error SPOOL_UNFIT: .*no room.*EFBIG/)
  expect(failed.stderr).toContain('import.maxPartBytes')
  expect(failed.code).toBeGreaterThan(0)
  expect(emulator.stats.calls.import).toBe(0)
  expect((await db.query('SELECT FROM safetykit.objects')).rowCount).toBe(0)
  expect(await spooled()).toEqual([])

  expect(await runCommand(['backfill'], { cwd: directory.dir, env })).toMatchObject({ code: 0, stderr: '' })
  await soon(() => expect(emulator.objects('products').size).toBe(3_000))
  expect(await spooled()).toEqual([])
})

test('a process that is killed between upload and record, and its folder with it, has everything sent again in the end', async () => {
  const { emulator, db, directory, env } = await rig('spool')
  emulator.imports.hold()
  const lost = emulator.faults.add({ when: { path: 'upload', times: 1 }, do: { hangAfterAccept: true } })
  const first = startCommand(['backfill'], { cwd: directory.dir, env })
  await soon(() => expect(lost.hits).toBe(1))
  first.kill('SIGKILL')
  await first.exited
  await promisify(execFile)('rm', ['-r', path.join(directory.dir, 'spool')])
  await db.query("UPDATE products SET title = 'new' WHERE id = 7")
  const second = startCommand(['backfill'], { cwd: directory.dir, env })
  await soon(() => expect(second.stdout() + second.stderr()).toContain('sent again'))
  expect(emulator.stats.calls.import).toBe(1)
  emulator.imports.release()
  expect(await second.exited).toMatchObject({ code: 0 })
  await soon(() => expect(emulator.object('products', '7')?.data.title).toBe('new'))
  await soon(() =>
    expect([...emulator.objects('products').values()].filter(({ versions }) => versions > 1).length).toBeGreaterThan(0),
  )
  expect(emulator.objects('products').size).toBe(3_000)
})

// Node's own recursive mkdir goes round for ever there.
test.runIf(process.platform === 'linux')('a folder that cannot be made is told, and not tried for ever', async () => {
  const { directory, env } = await rig('/proc/nope')
  const { code, stderr } = await runCommand(['backfill'], { cwd: directory.dir, env })
  expect(code).not.toBe(0)
  expect(stderr).toMatch(
    /^error SPOOL_UNFIT: The folder \/proc\/nope\/\w+ cannot be written \(ENOENT\)\n→ .*spoolDirectory/,
  )
})
