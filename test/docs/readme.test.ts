import { existsSync, readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createProgram } from '../../src/cli/program.js'
import { optionsShape } from '../../src/config/shapes.js'
import { contentTypes } from '../../src/config/words.js'
import { migrateLedger } from '../../src/ledger/migrate.js'
import { createDatabase, type TestDatabase } from '../support/postgres.js'
import { applyMigrations } from '../support/prisma.js'

const root = fileURLToPath(new URL('../../', import.meta.url))
const readme = readFileSync(path.join(root, 'README.md'), 'utf8')

/** Settings that nothing stands for where they are left out. */
const withoutDefault = ['deliver', 'ledgerUrl', 'scan.every', 'onResult']

const guides = readdirSync(path.join(root, 'docs/guides')).map((name) => `docs/guides/${name}`)
const blocksOf = (text: string, language: string): string[] =>
  [...text.matchAll(new RegExp(`\`\`\`${language}\\n([\\s\\S]*?)\`\`\``, 'g'))].map(([, block = '']) => block)
const textOf = (page: string): string => readFileSync(path.join(root, page), 'utf8')

/** The text under a heading of the second level. */
function section(title: string): string {
  const [, after = ''] = readme.split(`\n## ${title}\n`)
  return after.split('\n## ')[0] ?? ''
}

/** The first cell of each row that starts with code, and the cell after it. */
const tableRows = (text: string): [name: string, second: string][] =>
  [...text.matchAll(/^\| `([^|]+)` \| ([^|]*) \|/gm)].map(([, name = '', second = '']) => [name, second.trim()])

describe('the README', () => {
  it('has every error code, in the words of the source', () => {
    const source = readFileSync(path.join(root, 'src/errors.ts'), 'utf8')
    const union = [...source.matchAll(/^ {2}\| '([A-Z_]+)'$/gm)].map(([, code]) => code)
    const told = [...source.matchAll(/^ \* (\| `[A-Z_]+` \| .* \|)$/gm)].map(([, row]) => row)
    expect(union.length).toBeGreaterThan(20)
    expect(tableRows(section('Errors')).map(([code]) => code)).toEqual(union)
    expect(section('Errors').match(/^\| `[A-Z_]+` \| .*$/gm)).toEqual(told)
  })

  it('has every setting, with its default', () => {
    const [, listed = ''] = section('Settings').split('| setting | default |')
    const settings = Object.fromEntries(tableRows(listed))
    const defaults = Object.entries(flat(optionsShape.parse({})))
    expect(Object.keys(settings).sort()).toEqual([...defaults.map(([name]) => name), ...withoutDefault].sort())
    for (const [name, value] of defaults)
      if (value !== null) expect(`${name}: ${settings[name]}`).toBe(`${name}: ${shown(value)}`)
    for (const word of contentTypes) expect(section('Settings')).toContain(`\`${word}\``)
  })

  it('has every command, and every option of it', () => {
    const listed = [...section('Commands').matchAll(/^\| `([a-z]+)` \| .* \| (.*) \|$/gm)].map(
      ([, name, options = '']) => [name, options.match(/--[a-z-]+/g)],
    )
    const ofAll = ['--config', '--database-url']
    const actual = createProgram().commands.map((command) => [
      command.name(),
      command.options.map((option) => option.long).filter((option) => !ofAll.includes(option ?? '')),
    ])
    expect(listed).toEqual(actual)
  })

  it('has commands that are there, with options that they have, as do the guides', () => {
    const { commands } = createProgram()
    const lines = ['README.md', ...guides].flatMap((page) =>
      [...textOf(page).matchAll(/safetykit-sync ((?:[a-z]+)(?: [^`\n#>|]*)?)/g)].map(([, line = '']) => ({
        page,
        line,
      })),
    )
    expect(lines.length).toBeGreaterThan(20)
    for (const { page, line } of lines) {
      const [name] = line.split(' ')
      const command = commands.find((one) => one.name() === name)
      expect(command, `${page}: ${line}`).toBeDefined()
      const known = command?.options.map(({ long }) => long)
      for (const flag of line.match(/--[a-z-]+/g) ?? []) expect(known, `${page}: ${line}`).toContain(flag)
    }
  })

  it('links to files that are there', () => {
    const pages = ['README.md', 'CONTRIBUTING.md', 'CHANGELOG.md']
    const decisions = readdirSync(path.join(root, 'docs/decisions')).map((name) => `docs/decisions/${name}`)
    for (const page of [...pages, ...guides, ...decisions]) {
      const text = textOf(page)
      for (const [, target = ''] of text.matchAll(/\]\((?!https?:|#)([^)#]+)/g)) {
        expect(existsSync(path.join(root, path.dirname(page), target)), `${page} → ${target}`).toBe(true)
      }
    }
  })
})

describe('the README, of the side tables', () => {
  let db: TestDatabase
  beforeAll(async () => {
    db = await createDatabase()
    await applyMigrations(db.url)
    const client = await db.client()
    await migrateLedger(client, 'safetykit')
  })
  afterAll(() => db.drop())

  it('names every table and column', async () => {
    const { rows } = await db.query<{ table: string; columns: string[] }>(
      `SELECT table_name::text AS table, array_agg(column_name::text ORDER BY ordinal_position) AS columns
         FROM information_schema.columns WHERE table_schema = 'safetykit' GROUP BY 1 ORDER BY 1`,
    )
    const listed = new Map(tableRows(section('The side tables')))
    expect([...listed.keys()].sort()).toEqual(rows.map((row) => row.table))
    for (const { table, columns } of rows) {
      for (const column of columns) expect(listed.get(table)).toContain(`\`${column}\``)
    }
  })

  it('has queries that run as they stand', async () => {
    const queries = statementsOf(section('The side tables'))
    expect(queries).toHaveLength(5)
    for (const sql of queries) await db.query(sql)
    const { rows } = await db.query('SELECT key, force FROM safetykit.dirty')
    expect(rows).toEqual([{ key: { id: '42' }, force: true }])
  })
})

describe('the guides, of the side tables', () => {
  it('have SQL that runs as it stands', async () => {
    const db = await createDatabase()
    try {
      await applyMigrations(db.url)
      await migrateLedger(await db.client(), 'safetykit')
      const statements = guides.flatMap((page) => statementsOf(textOf(page)))
      const ofLedger = statements.filter((sql) => !sql.includes('pg_drop_replication_slot'))
      expect(ofLedger.length).toBeGreaterThan(5)
      for (const sql of ofLedger) await db.query(sql)
    } finally {
      await db.drop()
    }
  })
})

function statementsOf(text: string): string[] {
  return blocksOf(text, 'sql')
    .flatMap((sql) => sql.split(/;\n/))
    .filter((sql) => sql.trim() !== '')
}

/** `{ slot: { name: 'a' } }` → `{ 'slot.name': 'a' }`. */
function flat(value: object, prefix = ''): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(value).flatMap(([key, inner]) =>
      typeof inner === 'object' && inner !== null && !Array.isArray(inner)
        ? Object.entries(flat(inner, `${prefix}${key}.`))
        : [[prefix + key, inner]],
    ),
  )
}

/** A default as the README writes it. */
function shown(value: unknown): string {
  const minute = 60_000
  const mib = 1024 * 1024
  if (typeof value === 'string') return `\`'${value}'\``
  if (typeof value === 'boolean') return `\`${value}\``
  if (Array.isArray(value)) {
    const minutes = value.filter((ms) => ms < 60 * minute).map((ms) => ms / minute)
    const hours = value.filter((ms) => ms >= 60 * minute).map((ms) => ms / minute / 60)
    return `${minutes.join(', ')} min, ${hours.join(', ')} h`
  }
  const number = Number(value)
  return number % mib === 0 ? `${number / mib} MiB` : number.toLocaleString('en')
}
