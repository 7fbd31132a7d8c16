import { existsSync } from 'node:fs'
import path from 'node:path'
import { createJiti } from 'jiti'
import { ConfigError, isSyncError, SyncError } from '../errors.js'
import { isSync, type Sync } from '../sync.js'

const names = ['safetykit.config.ts', 'safetykit.config.mts', 'safetykit.config.js', 'safetykit.config.mjs']

const example = `import { defineSync } from 'prisma-extension-safetykit'
  export default defineSync({ capture: 'replication', tables: { 'public.products': { namespace: 'products', fields: { title: true } } } })`

/**
 * Loads the configuration: the file given, else the `safetykit.config.*` of the working directory.
 * @throws {SyncError} `CONFIG_NOT_FOUND` where there is none or it exports no sync; `CONFIG_INVALID` where it fails.
 */
export async function loadConfig(given: string | undefined): Promise<Sync> {
  const file = findConfig(given)
  const exported = await importDefault(file)
  if (isSync(exported)) return exported
  throw new SyncError('CONFIG_NOT_FOUND', `${shown(file)} does not export a sync: ${found(exported)}`, {
    hint: `It should look like this:\n  ${example}`,
  })
}

function findConfig(given: string | undefined): string {
  if (given !== undefined) {
    const file = path.resolve(given)
    if (existsSync(file)) return file
    throw new SyncError('CONFIG_NOT_FOUND', `There is no file ${file}`, { hint: 'Check the path after --config.' })
  }
  const file = names.map((name) => path.resolve(name)).find((candidate) => existsSync(candidate))
  if (file !== undefined) return file
  throw new SyncError('CONFIG_NOT_FOUND', `There is no safetykit.config.ts (or .mts, .js, .mjs) in ${process.cwd()}`, {
    hint: `Give its path with --config, or write one:\n  ${example}`,
  })
}

async function importDefault(file: string): Promise<unknown> {
  // jiti runs TypeScript on every Node that is supported, generated Prisma clients and path aliases included. Its cache on
  // disk would keep a copy of the user's files.
  const jiti = createJiti(file, { fsCache: false, interopDefault: false, tsconfigPaths: true })
  const printing = printingToStderr()
  try {
    const module = await jiti.import<{ readonly default?: unknown }>(file)
    return module.default
  } catch (error) {
    if (error instanceof ConfigError || isSyncError(error)) throw error
    const reason = error instanceof Error ? reasonOf(error) : String(error)
    throw new SyncError('CONFIG_INVALID', `${shown(file)} could not be loaded: ${reason}`, {
      cause: error,
      hint: 'Mend what the message names; --verbose shows where it was thrown.',
    })
  } finally {
    printing.restore()
  }
}

/** What a configuration prints while it is loaded is not the command's output, which `--json` promises to be JSON. */
function printingToStderr(): { restore(): void } {
  const { log, info, debug } = console
  const { error } = console
  Object.assign(console, { log: error, info: error, debug: error })
  return { restore: () => void Object.assign(console, { log, info, debug }) }
}

const reasonOf = ({ name, message }: Error): string => (name === 'Error' ? message : `${name}: ${message}`)

function found(exported: unknown): string {
  if (exported === undefined) return 'it has no default export'
  const what = exported === null ? 'null' : Array.isArray(exported) ? 'an array' : `a value of type ${typeof exported}`
  return `its default export is ${what} that defineSync did not make`
}

/** As short as it is from the working directory. */
function shown(file: string): string {
  const relative = path.relative(process.cwd(), file)
  return relative.startsWith('..') ? file : relative
}
