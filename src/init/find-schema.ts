import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import path from 'node:path'
import { createJiti } from 'jiti'
import { SyncError } from '../errors.js'

/** Prisma's schema as it was found. */
export interface FoundSchema {
  readonly text: string
  readonly files: readonly string[]
}

const configNames = [
  'prisma.config.ts',
  'prisma.config.mts',
  'prisma.config.js',
  'prisma.config.mjs',
  '.config/prisma.ts',
]

/**
 * Prisma's schema: the file or folder given, else the one that `prisma.config.ts` or `package.json` names, else where Prisma
 * looks by itself.
 * @throws {SyncError} `CONFIG_NOT_FOUND` where there is none.
 */
export async function findSchema(directory: string, given: string | undefined): Promise<FoundSchema> {
  const named = given ?? (await schemaOfConfig(directory)) ?? schemaOfPackage(directory)
  const places = named === undefined ? ['prisma/schema.prisma', 'schema.prisma', 'prisma/schema', 'prisma'] : [named]
  for (const place of places.map((one) => path.resolve(directory, one))) {
    const files = existsSync(place) ? readable(place, () => filesOf(place)) : []
    if (files.length === 0) continue
    return { files, text: files.map(textOf).join('\n') }
  }
  throw new SyncError('CONFIG_NOT_FOUND', `There is no Prisma schema at ${places.join(', ')} in ${directory}`, {
    hint: 'Give its file or its folder: --schema db/schema.prisma. Without Prisma: --tables reads the tables of DATABASE_URL.',
  })
}

const textOf = (file: string): string => readable(file, () => readFileSync(file, 'utf8'))

function readable<T>(place: string, read: () => T): T {
  try {
    return read()
  } catch (error) {
    const reason = error instanceof Error && 'code' in error ? ` (${error.code})` : ''
    throw new SyncError('CONFIG_INVALID', `${place} cannot be read${reason}`, {
      cause: error,
      hint: 'Make it readable for this user, or give the schema of Prisma: --schema db/schema.prisma',
    })
  }
}

/** The file, or the `.prisma` files of a folder and of those in it. */
function filesOf(place: string): string[] {
  if (!statSync(place).isDirectory()) return [place]
  return readdirSync(place, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.prisma'))
    .filter(({ parentPath }) => !parentPath.split(path.sep).includes('node_modules') && !isGenerated(parentPath))
    .map((entry) => path.join(entry.parentPath, entry.name))
    .sort()
}

/** The generator `prisma-client-js` puts a copy of the schema beside the client. */
const isGenerated = (folder: string): boolean => existsSync(path.join(folder, 'index-browser.js'))

async function schemaOfConfig(directory: string): Promise<string | undefined> {
  const file = configNames.map((name) => path.resolve(directory, name)).find((candidate) => existsSync(candidate))
  if (file === undefined) return undefined
  const schema = (await evaluated(file)) ?? /\bschema\s*:\s*(['"`])([^'"`]+)\1/.exec(textOf(file))?.[2]
  return schema === undefined ? undefined : path.resolve(path.dirname(file), schema)
}

/** It may need an environment that is not there: then its text has to do. */
async function evaluated(file: string): Promise<string | undefined> {
  try {
    const jiti = createJiti(file, { fsCache: false, interopDefault: false, tsconfigPaths: true })
    const { default: config } = await jiti.import<{ readonly default?: { readonly schema?: unknown } }>(file)
    return typeof config?.schema === 'string' ? config.schema : undefined
  } catch {
    return undefined
  }
}

function schemaOfPackage(directory: string): string | undefined {
  const file = path.resolve(directory, 'package.json')
  if (!existsSync(file)) return undefined
  const manifest = parsedJson(file) as { readonly prisma?: { readonly schema?: unknown } | null } | null
  return typeof manifest?.prisma?.schema === 'string' ? manifest.prisma.schema : undefined
}

function parsedJson(file: string): unknown {
  const text = textOf(file)
  try {
    return JSON.parse(text)
  } catch (error) {
    throw new SyncError('CONFIG_INVALID', `${file} is not JSON`, {
      cause: error,
      hint: 'Mend it, or give the schema of Prisma, and it is not looked at: --schema db/schema.prisma',
    })
  }
}
