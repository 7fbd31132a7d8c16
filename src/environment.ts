import { tmpdir } from 'node:os'
import path from 'node:path'
import { SyncError } from './errors.js'

// The settings that stand in the environment. What was given elsewhere (a flag, an option of the extension) goes first.

/** A setting that was given elsewhere, and what it is called there: `--database-url`. */
export interface Given {
  readonly value: string | undefined
  readonly name: string
  /** Where it could be given, as the end of a sentence: `, or give it to …`. */
  readonly orGive?: string
}

/**
 * The URL of the database whose tables are mapped: as given, else `DATABASE_URL`.
 * @throws {SyncError} `SETTING_MISSING`, or `CONFIG_INVALID` where it is not a URL that Postgres can be reached at.
 */
export function databaseUrl(given: Given): string {
  const url = (given.value || process.env.DATABASE_URL)?.trim()
  const example = 'postgresql://user:password@localhost:5432/shop'
  if (url === undefined || url === '') {
    throw new SyncError('SETTING_MISSING', 'DATABASE_URL is not set', {
      hint: `Set it in the environment${inFile(given)}: DATABASE_URL="${example}"${given.orGive ?? ''}`,
    })
  }
  const name = given.value ? given.name : 'DATABASE_URL'
  if (/^["'`]/.test(url)) {
    throw new SyncError('CONFIG_INVALID', `${name} begins with a quote`, {
      hint: `Leave the quotes around it out: whatever set it (docker --env-file, for one) takes them as they stand. ${name}=${example}`,
    })
  }
  const [reference] = url.match(/\$\{\w+\}/) ?? []
  if (reference !== undefined) {
    throw new SyncError('CONFIG_INVALID', `${name} holds ${reference}, and nothing has put a value in its place`, {
      hint: 'Prisma expands variables in .env, Node does not: write the value itself. What belongs to a password is percent-encoded ($ is %24).',
    })
  }
  if (!URL.canParse(url) || !canDecode(url)) {
    throw new SyncError('CONFIG_INVALID', `${name} is not a URL`, {
      hint: `It looks like this: ${example}; special characters in the password are percent-encoded (# is %23, @ is %40, % is %25).`,
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

/** A % that is followed by no hexadecimal digits stands for itself to `pg`; what is percent-encoded has to be UTF-8. */
function canDecode(url: string): boolean {
  try {
    decodeURIComponent(url.replace(/%(?![0-9a-f]{2})/gi, '%25'))
    return true
  } catch {
    return false
  }
}

/**
 * The API key: as given, else `SAFETYKIT_API_KEY`.
 * @throws {SyncError} `SETTING_MISSING`, or `CONFIG_INVALID` where it cannot stand in a header.
 */
export function apiKey(given?: Given): string {
  const key = (given?.value || process.env.SAFETYKIT_API_KEY)?.trim()
  if (key === undefined || key === '') {
    throw new SyncError('SETTING_MISSING', 'SAFETYKIT_API_KEY is not set', {
      hint: `Set it in the environment${inFile(given)}: SAFETYKIT_API_KEY="sk_…"${given?.orGive ?? ''} (without a key: safetykit-sync emulator)`,
    })
  }
  if (/^[\x21-\x7e]+$/.test(key)) return key
  const name = given?.value ? given.name : 'SAFETYKIT_API_KEY'
  throw new SyncError('CONFIG_INVALID', `${name} holds a space, a line break or a character that no key has`, {
    hint: 'Copy the key once more, and nothing but the key.',
  })
}

/**
 * Where the API is: as given, else `SAFETYKIT_BASE_URL`; `undefined` is SafetyKit's own.
 * @throws {SyncError} `CONFIG_INVALID` where it is not an HTTP URL.
 */
export function baseUrl(given: Given): string | undefined {
  const url = given.value || process.env.SAFETYKIT_BASE_URL
  if (url === undefined || url === '') return undefined
  if (URL.canParse(url) && /^https?:$/.test(new URL(url).protocol)) return url
  throw new SyncError('CONFIG_INVALID', `${given.value ? given.name : 'SAFETYKIT_BASE_URL'} is not an HTTP URL`, {
    hint: 'It looks like this: https://api.safetykit.com, or http://127.0.0.1:4444 for the emulator.',
  })
}

export interface ProxySettings {
  httpProxy?: string
  httpsProxy?: string
  noProxy?: string
}

/**
 * The proxy of the environment, in either spelling; `undefined` where there is none.
 * @throws {SyncError} `CONFIG_INVALID` where one is not an HTTP URL.
 */
export function proxy(): ProxySettings | undefined {
  const read = (name: string): string => process.env[name.toLowerCase()] || process.env[name] || ''
  const [httpProxy, httpsProxy] = [proxyUrl('HTTP_PROXY', read), proxyUrl('HTTPS_PROXY', read)]
  const noProxy = read('NO_PROXY')
  if (httpProxy === '' && httpsProxy === '') return undefined
  return {
    ...(httpProxy === '' ? {} : { httpProxy }),
    ...(httpsProxy === '' ? {} : { httpsProxy }),
    ...(noProxy === '' ? {} : { noProxy }),
  }
}

/** `host:port` is taken for an HTTP proxy, as curl does. */
function proxyUrl(name: string, read: (name: string) => string): string {
  const value = read(name).trim()
  if (value === '') return ''
  const url = /^[a-z][a-z0-9+.-]*:\/\//i.test(value) ? value : `http://${value}`
  if (URL.canParse(url) && /^https?:$/.test(new URL(url).protocol)) return url
  throw new SyncError('CONFIG_INVALID', `${name} is not the URL of an HTTP proxy`, {
    hint: `It looks like this: ${name}=http://proxy:3128; special characters in a password are percent-encoded (# is %23, @ is %40).`,
  })
}

/** Where the files of imports stand, unless it is set: a folder for each user, since others may not read them. */
export const temporaryDirectory = (): string => path.join(tmpdir(), `safetykit-sync-${process.getuid?.() ?? 'user'}`)

/**
 * The secrets that webhooks are signed with: as given, else those in `SAFETYKIT_WEBHOOK_SECRET`, with spaces between them.
 * @throws {SyncError} `SETTING_MISSING`, or `CONFIG_INVALID` where one of them is none.
 */
export function webhookSecrets(given?: Given): readonly string[] {
  const name = given?.value ? given.name : 'SAFETYKIT_WEBHOOK_SECRET'
  const found = webhookSecretsOf(given?.value || process.env.SAFETYKIT_WEBHOOK_SECRET)
  if (found.length === 0) {
    throw new SyncError('SETTING_MISSING', 'SAFETYKIT_WEBHOOK_SECRET is not set', {
      hint: `SafetyKit shows it beside the webhook. Set it in the environment${inFile(given)}: SAFETYKIT_WEBHOOK_SECRET="whsec_…"${given?.orGive ?? ''} (several, with spaces between them, while it is changed)`,
    })
  }
  if (found.every((secret) => /^(whsec_)?[A-Za-z0-9+/]{4,}={0,2}$/.test(secret))) return found
  throw new SyncError('CONFIG_INVALID', `${name} is not a secret of a webhook`, {
    hint: 'Copy it once more: whsec_, and then letters, digits, + and / (base64).',
  })
}

const webhookSecretsOf = (value: string | undefined): string[] =>
  value?.split(/\s+/).filter((part) => part !== '') ?? []

/** What must not be printed, wherever it turns up. */
export const secrets = (): readonly (string | undefined)[] => [
  // As it is sent: a line break at its end is not printed with it.
  process.env.SAFETYKIT_API_KEY?.trim(),
  ...webhookSecretsOf(process.env.SAFETYKIT_WEBHOOK_SECRET),
]

/** The command reads a file `.env`; an application that is given the extension does so itself, or not. */
const inFile = (given: Given | undefined): string => (given?.orGive === undefined ? ' or in the file .env' : '')
