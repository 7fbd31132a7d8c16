import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, describe, expect, it, onTestFinished, vi } from 'vitest'
import { proxy, secrets } from '../../src/environment.js'
import { findSchema } from '../../src/init/find-schema.js'
import { emulatorForTest } from '../support/emulator.js'
import { createDatabase } from '../support/postgres.js'
import { type ConfigDirectory, configDirectory, configSource, runCommand, startCommand } from '../support/sidecar.js'
import { soon } from '../support/soon.js'

const apiKey = 'sk_live_0123456789'
const env = { DATABASE_URL: 'postgresql://shop@127.0.0.1:1/shop', SAFETYKIT_API_KEY: apiKey }

afterEach(() => {
  vi.unstubAllEnvs()
})

async function folder(files: Readonly<Record<string, string>> = {}): Promise<ConfigDirectory> {
  const made = await configDirectory()
  onTestFinished(() => made.remove())
  for (const [name, text] of Object.entries(files)) await made.write(name, text)
  return made
}

const schema = 'model Product {\n  sku String @id\n  title String\n}\nmodel Log {\n  line String\n}\n'
const valid = {
  capture: 'trigger',
  deliver: 'sidecar',
  results: 'off',
  delivery: { retryBaseMs: 20, retryMaxMs: 50 },
  tables: { 'public.products': { namespace: 'products', fields: { title: true } } },
}

describe('a configuration', () => {
  it.each(['migrate', 'run', 'status'])('that never finishes loading is told by %s, which exits 2', async (command) => {
    const { dir } = await folder({ 'safetykit.config.mjs': 'await new Promise(() => {})\nexport default 1\n' })
    const { code, stdout, stderr } = await runCommand([command], { cwd: dir, env })
    expect(stderr).toMatch(
      /error CONFIG_INVALID: The configuration \(safetykit\.config\.\*\) never finished loading\n→ /,
    )
    expect({ code, printed: stdout.includes('✓') }).toEqual({ code: 2, printed: false })
  })

  it('of Prisma that never finishes loading is told by init, which says how to do without it', async () => {
    const files = { 'prisma.config.ts': 'await new Promise(() => {})\nexport default {}\n', 'schema.prisma': schema }
    const { dir } = await folder(files)
    const { code, stderr } = await runCommand(['init', '--yes'], { cwd: dir })
    expect(stderr).toMatch(/error CONFIG_INVALID: .*prisma\.config\.\*.*\n→ .*--schema/)
    expect({ code, written: existsSync(path.join(dir, 'safetykit.config.ts')) }).toEqual({ code: 2, written: false })
    expect(await runCommand(['init', '--yes', '--schema', 'schema.prisma'], { cwd: dir })).toMatchObject({ code: 0 })
  })

  it('that prints does so on stderr: what --json prints is JSON', async () => {
    const db = await createDatabase({ sql: 'CREATE TABLE products (id integer PRIMARY KEY, title text)' })
    onTestFinished(() => db.drop())
    const prints = "console.log('loaded .env')\nconsole.info('info')\nconsole.debug('debug')\n"
    const { dir } = await folder({ 'safetykit.config.mjs': prints + configSource(valid) })
    const { code, stdout, stderr } = await runCommand(['migrate', '--json'], {
      cwd: dir,
      env: { DATABASE_URL: db.url },
    })
    expect(stderr).toBe('loaded .env\ninfo\ndebug\n')
    expect({ code, report: JSON.parse(stdout) }).toMatchObject({ code: 0, report: { done: expect.any(Array) } })
  })
})

describe('a setting of the environment', () => {
  it('a key with a line break at its end is not printed', () => {
    vi.stubEnv('SAFETYKIT_API_KEY', `${apiKey}\n`)
    expect(secrets()).toContain(apiKey)
  })

  it.each([
    ['HTTP_PROXY', 'localhost:3128', { httpProxy: 'http://localhost:3128' }],
    ['HTTPS_PROXY', '10.0.0.1:3128', { httpsProxy: 'http://10.0.0.1:3128' }],
    ['http_proxy', ' http://u:p@proxy:3128 ', { httpProxy: 'http://u:p@proxy:3128' }],
  ])('a proxy may be given as a URL or as host and port: %s=%s', (name, value, expected) => {
    withoutProxies()
    vi.stubEnv(name, value)
    expect(proxy()).toEqual(expected)
  })

  it.each(['socks5://proxy:1080', 'http://', 'a proxy'])('a proxy that cannot be used is named: %s', (value) => {
    withoutProxies()
    vi.stubEnv('HTTPS_PROXY', value)
    expect(() => proxy()).toThrow(
      expect.objectContaining({ code: 'CONFIG_INVALID', message: 'HTTPS_PROXY is not the URL of an HTTP proxy' }),
    )
  })
})

function withoutProxies(): void {
  for (const name of ['HTTP_PROXY', 'HTTPS_PROXY', 'NO_PROXY']) {
    vi.stubEnv(name, '')
    vi.stubEnv(name.toLowerCase(), '')
  }
}

describe('init', () => {
  it.each([
    ['into a folder that is not there', ['--config', 'missing/x.ts'], 'missing/x.ts cannot be written (ENOENT)'],
    ['over a folder', ['--config', '.', '--force'], '. cannot be written (EISDIR)'],
    ['no models', ['--models', ' , '], 'USAGE: '],
    ['a model without a key', ['--models', 'Log'], 'Log cannot be sent: it has no primary key'],
  ])('that is to write %s says so, and exits 2', async (_, args, message) => {
    const { dir } = await folder({ 'schema.prisma': schema })
    const { code, stderr } = await runCommand(['init', '--yes', ...args], { cwd: dir })
    expect(stderr).toContain(message)
    expect({ code, written: existsSync(path.join(dir, 'safetykit.config.ts')) }).toEqual({ code: 2, written: false })
  })

  it.each(['', '{', 'null'])('names a package.json that holds %j, unless it says what is wanted', async (text) => {
    const { dir } = await folder({ 'package.json': text, 'schema.prisma': schema })
    const found = findSchema(dir, undefined)
    if (text === 'null') expect(await found).toMatchObject({ text: schema })
    else
      await expect(found).rejects.toMatchObject({ code: 'CONFIG_INVALID', message: `${dir}/package.json is not JSON` })
    expect(await findSchema(dir, 'schema.prisma')).toMatchObject({ text: schema })
  })

  it('names what it cannot read', async () => {
    const { dir } = await folder()
    await mkdir(path.join(dir, 'package.json'))
    await expect(findSchema(dir, undefined)).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
      message: `${dir}/package.json cannot be read (EISDIR)`,
    })
  })
})

describe.skipIf(!existsSync('/dev/full'))('a full disk behind stdout', () => {
  it('is told on stderr, and no report that nobody has is a success', async () => {
    const { dir } = await folder({ 'schema.prisma': schema })
    const { code, stderr } = await intoFullDisk(['init', '--yes'], dir)
    expect({ code, stderr }).toEqual({ code: 1, stderr: 'error: the output could not be written (ENOSPC)\n' })
  })
})

/** Runs the command with a stdout that nothing can be written to. */
async function intoFullDisk(args: readonly string[], cwd: string): Promise<{ code: number | null; stderr: string }> {
  const root = fileURLToPath(new URL('../../', import.meta.url))
  const fromSource = process.env.SIDECAR_FROM === 'src'
  const main = path.join(root, fromSource ? 'src/cli/main.ts' : 'dist/cli/main.js')
  const command = [process.execPath, ...(fromSource ? ['--import', import.meta.resolve('tsx')] : []), main, ...args]
  const child: ChildProcess = spawn('sh', ['-c', 'exec "$@" > /dev/full', 'sh', ...command], { cwd })
  let stderr = ''
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    stderr += text
  })
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve))
  return { code, stderr }
}

describe('a backfill', () => {
  it('waits where the address is not the API, with the reason, and sends all once it is', async () => {
    const { api, run } = await shop()
    const command = startCommand(['backfill', '--base-url', `${api.url}/v1`], run)
    onTestFinished(() => command.kill('SIGKILL'))
    const told = (): string => command.stderr()
    await soon(() => expect(told()).toContain('SAFETYKIT_BASE_URL is the API itself, without /v1'))
    expect(told()).toContain('"code":"API_UNEXPECTED"')
    command.kill('SIGTERM')
    expect(await command.exited).toMatchObject({ code: 143 })
    expect(command.stdout()).not.toContain('"done"')
    expect(await runCommand(['backfill'], run)).toMatchObject({ code: 0, stderr: '' })
    expect(api.objects('products').size).toBe(30)
  })

  it('says how many objects SafetyKit has refused, and where to look', async () => {
    const { api, run } = await shop()
    api.faults.add({ when: { path: 'add', ids: ['3', '4'] }, do: { reject: 422, message: 'no' } })
    const { code, stdout, stderr } = await runCommand(['backfill'], run)
    expect(code).toBe(0)
    expect(JSON.parse(stdout.trimEnd().split('\n').at(-1) ?? '')).toMatchObject({ event: 'done', parked: 2 })
    expect(stderr).toMatch(/^2 objects were refused, .*safetykit-sync status/m)
  })
})

/** A database with rows and side tables, and an API. */
async function shop() {
  const sql = `CREATE TABLE products (id integer PRIMARY KEY, title text);
    INSERT INTO products SELECT g, 't' FROM generate_series(1, 30) g`
  const db = await createDatabase({ sql })
  onTestFinished(() => db.drop())
  const api = await emulatorForTest({ apiKey })
  const { dir } = await folder({ 'safetykit.config.mjs': configSource(valid) })
  const settings = { DATABASE_URL: db.url, SAFETYKIT_API_KEY: apiKey, SAFETYKIT_BASE_URL: api.url }
  const run = { cwd: dir, env: settings }
  expect(await runCommand(['migrate'], run)).toMatchObject({ code: 0 })
  return { api, run }
}
