import { existsSync } from 'node:fs'
import path from 'node:path'
import { SyncError } from '../errors.js'

/** What the flags of a command say about settings. */
export interface SettingFlags {
  readonly databaseUrl?: string
  readonly baseUrl?: string
}

/**
 * Reads the `.env` file of the working directory, as Prisma's users expect it. A variable that is set already wins.
 * @throws {SyncError} `CONFIG_INVALID` where it is there and cannot be read.
 */
export function loadEnvFile(): void {
  const file = path.resolve('.env')
  if (!existsSync(file)) return
  try {
    process.loadEnvFile(file)
  } catch (error) {
    const reason = error instanceof Error && 'code' in error ? ` (${error.code})` : ''
    throw new SyncError('CONFIG_INVALID', `The file ${file} cannot be read${reason}`, {
      cause: error,
      hint: 'Make it readable for this user, or move it away: the variables can be set in the environment as well.',
    })
  }
}

/**
 * The URL of the database whose tables are mapped.
 * @throws {SyncError} `SETTING_MISSING`, or `CONFIG_INVALID` where it is not a URL that Postgres can be reached at.
 */
export function databaseUrl(flags: SettingFlags): string {
  const url = flags.databaseUrl || process.env.DATABASE_URL
  const example = 'postgresql://user:password@localhost:5432/shop'
  if (url === undefined || url === '') {
    throw new SyncError('SETTING_MISSING', 'DATABASE_URL is not set', {
      hint: `Set it in the environment or in the file .env: DATABASE_URL="${example}"`,
    })
  }
  const name = flags.databaseUrl ? '--database-url' : 'DATABASE_URL'
  if (!URL.canParse(url)) {
    throw new SyncError('CONFIG_INVALID', `${name} is not a URL`, {
      hint: `It looks like this: ${example}; special characters in the password are percent-encoded (# is %23, @ is %40).`,
    })
  }
  const { protocol } = new URL(url)
  if (protocol === 'postgresql:' || protocol === 'postgres:') return url
  const direct = protocol.startsWith('prisma')
  throw new SyncError('CONFIG_INVALID', `${name} begins with ${protocol}//, which is not Postgres itself`, {
    hint: direct
      ? `Give the direct URL of the database, not the one of the proxy: ${example}`
      : `Only PostgreSQL is supported: ${example}`,
  })
}

/**
 * The API key. There is no flag for it: other users of the machine can read a process' arguments.
 * @throws {SyncError} `SETTING_MISSING`, or `CONFIG_INVALID` where it cannot stand in a header.
 */
export function apiKey(): string {
  const key = process.env.SAFETYKIT_API_KEY?.trim()
  if (key === undefined || key === '') {
    throw new SyncError('SETTING_MISSING', 'SAFETYKIT_API_KEY is not set', {
      hint: 'Set it in the environment or in the file .env: SAFETYKIT_API_KEY="sk_…" (without a key: safetykit-sync emulator)',
    })
  }
  if (/^[\x21-\x7e]+$/.test(key)) return key
  throw new SyncError(
    'CONFIG_INVALID',
    'SAFETYKIT_API_KEY holds a space, a line break or a character that no key has',
    {
      hint: 'Copy the key once more, and nothing but the key.',
    },
  )
}

/**
 * Where the API is; `undefined` is SafetyKit's own.
 * @throws {SyncError} `CONFIG_INVALID` where it is not an HTTP URL.
 */
export function baseUrl(flags: SettingFlags): string | undefined {
  const url = flags.baseUrl || process.env.SAFETYKIT_BASE_URL
  if (url === undefined || url === '') return undefined
  if (URL.canParse(url) && /^https?:$/.test(new URL(url).protocol)) return url
  const name = flags.baseUrl ? '--base-url' : 'SAFETYKIT_BASE_URL'
  throw new SyncError('CONFIG_INVALID', `${name} is not an HTTP URL`, {
    hint: 'It looks like this: https://api.safetykit.com, or http://127.0.0.1:4444 for the emulator.',
  })
}

export interface ProxySettings {
  httpProxy?: string
  httpsProxy?: string
  noProxy?: string
}

/** The proxy of the environment, in either spelling; `undefined` where there is none. */
export function proxy(): ProxySettings | undefined {
  const read = (name: string): string => process.env[name.toLowerCase()] || process.env[name] || ''
  const [httpProxy, httpsProxy, noProxy] = [read('HTTP_PROXY'), read('HTTPS_PROXY'), read('NO_PROXY')]
  if (httpProxy === '' && httpsProxy === '') return undefined
  return {
    ...(httpProxy === '' ? {} : { httpProxy }),
    ...(httpsProxy === '' ? {} : { httpsProxy }),
    ...(noProxy === '' ? {} : { noProxy }),
  }
}
