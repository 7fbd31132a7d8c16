import { existsSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import path from 'node:path'
import type { FoundSchema } from './find-schema.js'
import type { PrismaGenerator } from './prisma-schema.js'

/** Where the configuration gets its client from. */
export interface ClientSource {
  readonly imports: readonly string[]
  /** What makes `prisma`; `null` where it is imported. */
  readonly prisma: string | null
  /** What has to be done before they work. */
  readonly todo: readonly string[]
}

interface ClientSourceOptions {
  readonly schema: FoundSchema
  readonly generators: readonly PrismaGenerator[]
  /** The folder of the configuration. */
  readonly directory: string
}

/**
 * A client of the generated code, of Prisma 6 or 7: `prisma-client` has an `output`, `prisma-client-js` may have one. From
 * version 7 on, and with the engine "client", it needs a driver adapter.
 */
export function clientSource({ schema, generators, directory }: ClientSourceOptions): ClientSource {
  const generator =
    generators.find((one) => one.get('provider') === 'prisma-client') ??
    generators.find((one) => one.get('provider') === 'prisma-client-js')
  const output = generator?.get('output')
  const isNew = generator?.get('provider') === 'prisma-client'
  if (generator === undefined || (isNew && output === undefined)) return unknown
  const home = homeOf(schema, generator)
  const at = output === undefined ? null : path.resolve(home, output)
  const from = at === null ? '@prisma/client' : relative(directory, path.join(at, isNew ? 'client.js' : 'index.js'))
  const generated = at === null || existsSync(path.join(at, isNew ? 'client.ts' : 'index.js'))
  const todo = generated ? [] : ['npx prisma generate']
  const require = createRequire(path.join(directory, 'package.json'))
  const major = Number(versionOf(require, '@prisma/client')?.split('.')[0] ?? 7)
  const client = `import { PrismaClient } from '${from}'`
  if (major < 7 && generator.get('engineType') !== 'client') {
    return { imports: [client], prisma: 'const prisma = new PrismaClient()', todo }
  }
  if (versionOf(require, '@prisma/adapter-pg') === undefined) todo.unshift('npm install @prisma/adapter-pg')
  return {
    imports: [`import { PrismaPg } from '@prisma/adapter-pg'`, client],
    prisma:
      'const prisma = new PrismaClient({ adapter: new PrismaPg({ connectionString: process.env.DATABASE_URL }) })',
    todo,
  }
}

const unknown: ClientSource = {
  imports: [`import { prisma } from './src/db.js' // EDIT: the module of your application that makes its PrismaClient`],
  prisma: null,
  todo: ['edit the import of the PrismaClient in it: the schema does not say where the client is generated'],
}

/** An `output` is from the file that the generator stands in. */
function homeOf({ files }: FoundSchema, generator: PrismaGenerator): string {
  const output = generator.get('output') ?? ''
  const provider = generator.get('provider') ?? ''
  const file = files.find((one) => {
    const text = readFileSync(one, 'utf8')
    return text.includes(JSON.stringify(output)) && text.includes(JSON.stringify(provider))
  })
  return path.dirname(file ?? files[0] ?? '.')
}

function relative(directory: string, file: string): string {
  const found = path.relative(directory, file).split(path.sep).join('/')
  return found.startsWith('.') ? found : `./${found}`
}

/** Not by `require`: packages need not export their `package.json`. */
function versionOf(require: NodeJS.Require, name: string): string | undefined {
  const file = require.resolve
    .paths(name)
    ?.map((folder) => path.join(folder, name, 'package.json'))
    .find((candidate) => existsSync(candidate))
  return file === undefined
    ? undefined
    : (JSON.parse(readFileSync(file, 'utf8')) as { readonly version: string }).version
}
