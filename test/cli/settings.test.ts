import { mkdir } from 'node:fs/promises'
import { afterEach, describe, expect, it } from 'vitest'
import {
  type CommandResult,
  type ConfigDirectory,
  configDirectory,
  runCommand,
  writeConfig,
} from '../support/sidecar.js'

const tables = { 'public.products': { namespace: 'products', fields: { title: true } } }
const directories: ConfigDirectory[] = []

afterEach(async () => {
  await Promise.all(directories.splice(0).map((directory) => directory.remove()))
})

async function configured(): Promise<ConfigDirectory> {
  const directory = await writeConfig({ capture: 'replication', tables })
  directories.push(directory)
  return directory
}

/** A port that nothing listens at: the error tells which URL was used. */
const at = (port: number): string => `postgresql://shop:${password}@127.0.0.1:${port}/shop`
const password = 'correct-horse-battery'
const key = 'sk_0123456789abcdef'

const withoutSecrets = ({ stdout, stderr }: CommandResult): void => {
  expect(stdout + stderr).not.toContain(password)
  expect(stdout + stderr).not.toContain(key)
}

describe('settings', () => {
  it.each(['migrate', 'run', 'status'])('%s names DATABASE_URL where it is missing, and exits 2', async (command) => {
    const { dir } = await configured()
    const result = await runCommand([command], { cwd: dir, env: { SAFETYKIT_API_KEY: key } })
    expect(result.code).toBe(2)
    expect(result.stderr).toContain('error SETTING_MISSING: DATABASE_URL is not set')
    expect(result.stderr).toContain('DATABASE_URL="postgresql://user:password@localhost:5432/shop"')
    withoutSecrets(result)
  })

  it('run names SAFETYKIT_API_KEY where it is missing, and exits 2', async () => {
    const { dir } = await configured()
    const result = await runCommand(['run'], { cwd: dir, env: { DATABASE_URL: at(1) } })
    expect(result.code).toBe(2)
    expect(result.stderr).toContain('error SETTING_MISSING: SAFETYKIT_API_KEY is not set')
    withoutSecrets(result)
  })

  it('migrate and status need no API key', async () => {
    const { dir } = await configured()
    for (const command of ['migrate', 'status']) {
      const result = await runCommand([command], { cwd: dir, env: { DATABASE_URL: at(1) } })
      expect(result.stderr).toContain('DATABASE_UNREACHABLE')
    }
  })

  it('an empty variable is a missing one', async () => {
    const { dir } = await configured()
    const { stderr } = await runCommand(['migrate'], { cwd: dir, env: { DATABASE_URL: '' } })
    expect(stderr).toContain('SETTING_MISSING')
  })

  it('a flag wins over the environment, and the environment over .env', async () => {
    const directory = await configured()
    await directory.write('.env', `DATABASE_URL="${at(3)}"\n`)
    const env = { DATABASE_URL: at(2) }

    const flag = await runCommand(['migrate', '--database-url', at(1)], { cwd: directory.dir, env })
    expect(flag.stderr).toContain('127.0.0.1:1/shop')
    const environment = await runCommand(['migrate'], { cwd: directory.dir, env })
    expect(environment.stderr).toContain('127.0.0.1:2/shop')
    const file = await runCommand(['migrate'], { cwd: directory.dir })
    expect(file.stderr).toContain('127.0.0.1:3/shop')
    for (const result of [flag, environment, file]) withoutSecrets(result)
  })

  it('the key may stand in .env, and does not come out again', async () => {
    const directory = await configured()
    await directory.write('.env', `SAFETYKIT_API_KEY=${key}\nDATABASE_URL=${at(1)}\n`)
    const result = await runCommand(['run', '--verbose'], { cwd: directory.dir })
    expect(result.code).toBe(3)
    withoutSecrets(result)
  })

  it('a database out of reach is shown by host, port and name, and exits 3', async () => {
    const { dir } = await configured()
    const env = { DATABASE_URL: at(1), SAFETYKIT_API_KEY: key }
    for (const command of ['migrate', 'run', 'status']) {
      const result = await runCommand([command], { cwd: dir, env })
      expect(result.code).toBe(3)
      expect(result.stderr).toContain(
        'error DATABASE_UNREACHABLE: Postgres at 127.0.0.1:1/shop cannot be reached (ECONNREFUSED)\n→ ',
      )
      expect(result.stderr).not.toContain('    at ')
      withoutSecrets(result)
    }
  })

  it('--verbose adds where the error comes from, without the password', async () => {
    const { dir } = await configured()
    const result = await runCommand(['status', '--verbose'], { cwd: dir, env: { DATABASE_URL: at(1) } })
    expect(result.stderr).toContain('    at ')
    expect(result.stderr).toContain('caused by ')
    withoutSecrets(result)
  })

  it.each([
    ['a password that is not percent-encoded', `postgresql://shop:${password}#1@127.0.0.1:1:2/shop`, 'is not a URL'],
    ['text', `${password}`, 'is not a URL'],
    ['the URL of a proxy', `prisma+postgres://accelerate.example/?api_key=${password}`, 'is not Postgres itself'],
    ['another database', `mysql://shop:${password}@127.0.0.1/shop`, 'is not Postgres itself'],
  ])('says what is wrong with %s as DATABASE_URL, without showing it, and exits 2', async (_, url, message) => {
    const { dir } = await configured()
    const result = await runCommand(['migrate'], { cwd: dir, env: { DATABASE_URL: url } })
    expect(result.code).toBe(2)
    expect(result.stderr).toContain('error CONFIG_INVALID: DATABASE_URL ')
    expect(result.stderr).toContain(message)
    withoutSecrets(result)
  })

  it('says of a key with a line break that it is no key, without showing it', async () => {
    const { dir } = await configured()
    const env = { DATABASE_URL: at(1), SAFETYKIT_API_KEY: `${key}\n${key}` }
    const result = await runCommand(['run'], { cwd: dir, env })
    expect(result.code).toBe(2)
    expect(result.stderr).toContain('error CONFIG_INVALID: SAFETYKIT_API_KEY')
    withoutSecrets(result)
  })

  it('says of a base URL that it is none', async () => {
    const { dir } = await configured()
    const env = { DATABASE_URL: at(1), SAFETYKIT_API_KEY: key, SAFETYKIT_BASE_URL: 'localhost:4444' }
    const result = await runCommand(['run'], { cwd: dir, env })
    expect(result.code).toBe(2)
    expect(result.stderr).toContain('error CONFIG_INVALID: SAFETYKIT_BASE_URL is not an HTTP URL')
  })

  it('a .env that cannot be read is a mistake, not a silent miss', async () => {
    const directory = await configDirectory()
    directories.push(directory)
    await mkdir(`${directory.dir}/.env`)
    const result = await runCommand(['migrate'], { cwd: directory.dir, env: { DATABASE_URL: at(1) } })
    expect(result.code).toBe(2)
    expect(result.stderr).toContain('.env cannot be read')
  })
})
