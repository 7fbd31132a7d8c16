// Generates the Prisma clients that the demo and the tests use (npm run generate). It needs no network and no
// database, and does nothing when the clients fit their schema already.
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const marketplace = 'prisma/schema.prisma'
const scenarios = 'test/scenarios/schema.prisma'

/**
 * Prisma 6 wants a URL in the schema, and has to be told to do without its engine; the rest of a schema is the same.
 *
 * @param {string} file
 * @param {readonly string[]} generators
 */
function schemaForPrisma6(file, generators) {
  const models = readFileSync(join(root, file), 'utf8').replaceAll(/^generator \w+ \{[^}]*\}$/gm, '')
  return [
    ...generators,
    models.replace(/^(\s*)provider\s*=\s*"postgresql"$/m, '$&\n$1url = "postgresql://localhost:5432/nothing"'),
  ].join('\n\n')
}

/** @param {string} output */
const client6 = (output) => `generator client {
  provider            = "prisma-client"
  output              = "./${output}"
  importFileExtension = "js"
  engineType          = "client"
}`

/** @param {string} output */
const clientJs6 = (output) => `generator clientJs {
  provider   = "prisma-client-js"
  output     = "./${output}"
  engineType = "client"
}`

/**
 * One run of `prisma generate` each. `home` is the package that Prisma is resolved from, and where it runs; `schema` is
 * the text of the schema, or null where `file` is taken as it is.
 *
 * @type {readonly { home: string, file: string, schema: string | null, outputs: readonly string[] }[]}
 */
const jobs = [
  {
    home: '.',
    file: marketplace,
    schema: null,
    outputs: ['prisma/generated/client/client.ts', 'prisma/generated/client-js/index.js'],
  },
  { home: '.', file: scenarios, schema: null, outputs: ['test/scenarios/generated/client.ts'] },
  {
    home: 'test/prisma6',
    file: 'test/prisma6/generated/marketplace.prisma',
    schema: schemaForPrisma6(marketplace, [client6('marketplace'), clientJs6('marketplace-js')]),
    outputs: ['test/prisma6/generated/marketplace/client.ts', 'test/prisma6/generated/marketplace-js/index.js'],
  },
  {
    home: 'test/prisma6',
    file: 'test/prisma6/generated/scenarios.prisma',
    schema: schemaForPrisma6(scenarios, [client6('scenarios')]),
    outputs: ['test/prisma6/generated/scenarios/client.ts'],
  },
]

/** @param {(typeof jobs)[number]} job */
async function generate({ home, file, schema, outputs }) {
  const prismaPackage = createRequire(join(root, home, 'package.json')).resolve('prisma/package.json')
  // By content, not by time: a checkout and an install both set the times of files as they please.
  const hash = createHash('sha256').update(schema ?? readFileSync(join(root, file)))
  for (const input of [prismaPackage, join(root, 'prisma.config.ts')]) hash.update(readFileSync(input))
  const wanted = hash.digest('hex')
  const stamp = join(root, dirname(outputs[0] ?? ''), 'stamp')
  const fresh = [...outputs.map((output) => join(root, output)), stamp].every((path) => existsSync(path))
  if (fresh && readFileSync(stamp, 'utf8') === wanted) return

  rmSync(stamp, { force: true })
  if (schema !== null) {
    mkdirSync(dirname(join(root, file)), { recursive: true })
    writeFileSync(join(root, file), schema)
  }
  const cli = join(dirname(prismaPackage), 'build/index.js')
  await run(cli, ['generate', '--no-hints', '--schema', join(root, file)], join(root, home))
  writeFileSync(stamp, wanted)
}

/**
 * @param {string} cli
 * @param {readonly string[]} args
 * @param {string} cwd
 * @returns {Promise<void>}
 */
function run(cli, args, cwd) {
  // `generate` runs no engine, yet tries to download them unless it is told of programs to use.
  const engine = process.execPath
  const child = spawn(process.execPath, [cli, ...args], {
    cwd,
    env: {
      PRISMA_SCHEMA_ENGINE_BINARY: engine,
      PRISMA_QUERY_ENGINE_LIBRARY: engine,
      ...process.env,
      CHECKPOINT_DISABLE: '1',
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let said = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk) => {
      said += chunk
    })
  }
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code) => (code === 0 ? resolve() : reject(new Error(said))))
  })
}

const results = await Promise.allSettled(jobs.map(generate))
for (const result of results) {
  if (result.status === 'fulfilled') continue
  process.stderr.write(`${result.reason?.message ?? result.reason}\n`)
  process.exitCode = 1
}
