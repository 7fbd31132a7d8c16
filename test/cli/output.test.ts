import { PassThrough, Writable } from 'node:stream'
import pg from 'pg'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { exitCodeOf } from '../../src/cli/exit-codes.js'
import { createLogger } from '../../src/cli/log.js'
import type { LogLevel } from '../../src/cli/options.js'
import { asSyncError, formatError } from '../../src/cli/show-error.js'
import { painter, wantsColor } from '../../src/cli/terminal.js'
import { databaseAddress, explainDatabaseError } from '../../src/database-errors.js'
import { SyncError } from '../../src/errors.js'
import type { Logger } from '../../src/logger.js'
import { redact } from '../../src/redact.js'

const esc = String.fromCharCode(27)
const plain = { paint: painter(false), verbose: false }

afterEach(() => {
  vi.unstubAllEnvs()
})

/** A logger and what it has written. */
function logging(options: { isTTY?: boolean; level?: LogLevel } = {}): { logger: Logger; written: () => string } {
  let text = ''
  const stream = new Writable({
    write(chunk, _encoding, done) {
      text += String(chunk)
      done()
    },
  })
  Object.assign(stream, { isTTY: options.isTTY ?? false })
  const logger = createLogger({ level: options.level ?? 'info', stream: stream as never })
  return { logger, written: () => text }
}

describe('colours', () => {
  it('are for a terminal alone, and not where NO_COLOR is set or the terminal is dumb', () => {
    expect(wantsColor({ isTTY: true }, {})).toBe(true)
    expect(wantsColor({ isTTY: false }, {})).toBe(false)
    expect(wantsColor(new PassThrough() as { isTTY?: boolean }, {})).toBe(false)
    expect(wantsColor({ isTTY: true }, { NO_COLOR: '1' })).toBe(false)
    expect(wantsColor({ isTTY: true }, { NO_COLOR: '' })).toBe(true)
    expect(wantsColor({ isTTY: true }, { TERM: 'dumb' })).toBe(false)
  })

  it('paint the code of an error red', () => {
    const error = new SyncError('SLOT_MISSING', 'gone', { hint: 'make it' })
    expect(formatError(error, { paint: painter(true), verbose: false })).toContain(`${esc}[31m`)
    expect(formatError(error, plain)).toBe('error SLOT_MISSING: gone\n→ make it')
  })
})

describe('errors', () => {
  it('that nobody has explained are INTERNAL, with a hint and exit code 1', () => {
    const error = asSyncError(new TypeError('x is not a function'))
    expect(formatError(error, plain)).toMatch(/^error INTERNAL: x is not a function\n→ .*--verbose/)
    expect(exitCodeOf(error.code)).toBe(1)
  })

  it('have exit codes that say who can mend them', () => {
    expect(exitCodeOf('CONFIG_INVALID')).toBe(2)
    expect(exitCodeOf('SLOT_LOST')).toBe(3)
    expect(exitCodeOf('SCHEMA_OUTDATED')).toBe(3)
    expect(exitCodeOf('API_UNAUTHORIZED')).toBe(4)
    expect(exitCodeOf('STREAM_BROKEN')).toBe(1)
  })

  it.each([
    ['28P01', 'DATABASE_UNREACHABLE', 'refused the login'],
    ['3D000', 'DATABASE_UNREACHABLE', 'does not exist'],
    ['53300', 'DATABASE_UNREACHABLE', 'no connection left'],
    ['57P03', 'DATABASE_UNREACHABLE', 'does not accept any now'],
    ['42501', 'DATABASE_UNFIT', 'lacks a right'],
  ])('of Postgres with SQLSTATE %s are %s, with the address and without the password', (sqlState, code, words) => {
    const error = Object.assign(new pg.DatabaseError('', 0, 'error'), { code: sqlState })
    const explained = explainDatabaseError(error, 'postgresql://u:secret@db.example/shop')
    expect(explained).toMatchObject({ code })
    const text = formatError(asSyncError(explained), { paint: painter(false), verbose: true })
    expect(text).toContain(words)
    expect(text).toContain('db.example:5432/shop')
    expect(text).not.toContain('secret')
  })

  it('do not show the value that Postgres refused, not even with --verbose', () => {
    const error = Object.assign(new pg.DatabaseError('invalid input syntax: "4111 1111"', 0, 'error'), {
      code: '22P02',
      detail: 'Row (4111 1111)',
      where: 'unnamed portal parameter $1 = 4111 1111',
    })
    const text = formatError(asSyncError(error), { paint: painter(false), verbose: true })
    expect(text).toContain('22P02')
    expect(text).not.toContain('4111')
  })

  it('name a database by host, port and name, whatever the URL', () => {
    expect(databaseAddress('postgresql://u:p@[::1]:6432/shop?schema=x')).toBe('[::1]:6432/shop')
    expect(databaseAddress('postgresql:///shop?host=/run/postgresql')).toBe('/run/postgresql:5432/shop')
    expect(databaseAddress('no url')).toBe('the configured address')
  })
})

describe('redact', () => {
  it.each([
    ['postgresql://u:p@host/db', 'postgresql://[hidden]@host/db'],
    [
      'at postgres://u:p%40@h:1/db?sslmode=require, twice postgres://x@h',
      'at postgres://[hidden]@h:1/db?sslmode=require, twice postgres://[hidden]@h',
    ],
    ['"postgres://u:p@ss/w#rd@host/db"', '"postgres://[hidden]@host/db"'],
    ['http://user:secret@proxy:8080', 'http://[hidden]@proxy:8080'],
    ['host=db password=secret user=u', 'host=db password=[hidden] user=u'],
    ['https://api.safetykit.com/v1', 'https://api.safetykit.com/v1'],
    ['https://user:12345@proxy', 'https://[hidden]@proxy'],
    ['https://token@proxy/path', 'https://[hidden]@proxy/path'],
    // A port, or a password of digits: nobody can tell.
    ['http://user:12345/rest@host', 'http://[hidden]@host'],
    ['http://user:p/w@proxy:8080', 'http://[hidden]@proxy:8080'],
    ['https://x.com/?next=https://u:p@h/@a', 'https://x.com/?next=https://[hidden]@a'],
  ])('takes the credentials out of %j', (text, clean) => {
    expect(redact(text, [])).toBe(clean)
  })

  it.each([
    'https://x.com/@bob/1',
    '{"id":"http://x.com/a?b=c@d"}',
  ])('leaves an @ in a path as it is, as in the id of an object: %j', (text) => {
    expect(redact(text, [])).toBe(text)
  })

  it('takes a key out, wherever it stands', () => {
    expect(redact('Bearer sk_live_12345678, sk_live_12345678', ['sk_live_12345678'])).toBe('Bearer [hidden], [hidden]')
    expect(redact('text', [undefined, ''])).toBe('text')
  })
})

describe('the log', () => {
  it('is one JSON object a line where no terminal is: level, time, msg and the fields', () => {
    const { logger, written } = logging()
    logger.info('Sent', { namespace: 'products', objects: 2 })
    logger.warn('Refused')
    const lines = written()
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line))
    expect(lines).toEqual([
      { level: 'info', time: expect.stringMatching(/^\d{4}-.*Z$/), namespace: 'products', objects: 2, msg: 'Sent' },
      { level: 'warn', time: expect.any(String), msg: 'Refused' },
    ])
  })

  it('is one readable line in a terminal, coloured unless NO_COLOR is set', () => {
    vi.stubEnv('TERM', 'xterm')
    vi.stubEnv('NO_COLOR', '')
    const colored = logging({ isTTY: true })
    colored.logger.info('Sent', { namespace: 'products' })
    expect(colored.written()).toContain(`${esc}[`)

    vi.stubEnv('NO_COLOR', '1')
    const { logger, written } = logging({ isTTY: true })
    logger.info('Sent', { namespace: 'products' })
    expect(written()).toMatch(/^\[\d\d:\d\d:\d\d\.\d{3}\] INFO: Sent \{"namespace":"products"\}\n$/)
  })

  it('leaves out what is below its level', () => {
    const { logger, written } = logging({ level: 'warn' })
    logger.info('Sent')
    logger.debug('Looked')
    expect(written()).toBe('')
    logger.error('Failed')
    expect(written()).toContain('Failed')
  })

  it('holds of an error its code, message and hint, and nothing that hangs on it', () => {
    const { logger, written } = logging()
    const cause = Object.assign(new pg.DatabaseError('duplicate key', 0, 'error'), {
      code: '23505',
      detail: '(email)=(a@b.c)',
    })
    logger.error('A', { error: new SyncError('SLOT_LOST', 'gone', { hint: 'make it', cause }) })
    logger.error('B', { error: cause })
    logger.error('C', { error: Object.assign(new pg.DatabaseError('invalid "4111"', 0, 'error'), { code: '22P02' }) })
    logger.error('D', { error: new TypeError('no') })
    expect(
      written()
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line).error),
    ).toEqual([
      { code: 'SLOT_LOST', message: 'gone', hint: 'make it' },
      { name: 'error', code: '23505', message: 'duplicate key' },
      { name: 'error', code: '22P02', message: 'Postgres refused a value (22P02)' },
      { name: 'TypeError', message: 'no' },
    ])
  })

  it('writes LSNs and other bigints as text', () => {
    const { logger, written } = logging()
    logger.info('At', { lsn: 2n ** 63n })
    expect(JSON.parse(written()).lsn).toBe('9223372036854775808')
  })

  it('holds neither the key nor a password, even if it is handed one', () => {
    vi.stubEnv('SAFETYKIT_API_KEY', 'sk_0123456789')
    for (const isTTY of [true, false]) {
      const { logger, written } = logging({ isTTY })
      logger.error('Failed', { error: new Error('sk_0123456789 at postgresql://u:secret@host/db') })
      expect(written()).toContain('host/db')
      expect(written()).not.toMatch(/sk_0123456789|secret/)
    }
  })
})
