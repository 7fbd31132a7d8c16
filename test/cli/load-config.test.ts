import { cp, mkdir, symlink } from 'node:fs/promises'
import path from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import {
  type CommandResult,
  type ConfigDirectory,
  configDirectory,
  configSource,
  packageUrl,
  runCommand,
} from '../support/sidecar.js'

const valid = {
  capture: 'replication',
  tables: { 'public.products': { namespace: 'products', fields: { title: true } } },
}
const password = 'correct-horse-battery'
const env = { DATABASE_URL: `postgresql://shop:${password}@127.0.0.1:1/shop` }

let directory: ConfigDirectory
beforeEach(async () => {
  directory = await configDirectory()
})
afterEach(() => directory.remove())

const migrate = (...args: string[]): Promise<CommandResult> =>
  runCommand(['migrate', ...args], { cwd: directory.dir, env })

/** The configuration was taken: the next thing that fails is the database. */
const loaded = (result: CommandResult): void => expect(result.stderr).toContain('error DATABASE_UNREACHABLE')

describe('the configuration', () => {
  it.each(['ts', 'mts', 'js', 'mjs'])('is found as safetykit.config.%s in the working directory', async (extension) => {
    await directory.write(`safetykit.config.${extension}`, configSource(valid))
    loaded(await migrate())
  })

  it('may be given with --config, by a path from the working directory', async () => {
    await mkdir(`${directory.dir}/config`)
    await directory.write('config/moderation.ts', configSource(valid))
    loaded(await migrate('--config', 'config/moderation.ts'))
  })

  it('may be TypeScript that imports TypeScript, by a path alias too', async () => {
    await directory.write('tsconfig.json', '{ "compilerOptions": { "paths": { "@/*": ["./*"] } } }')
    await directory.write('field.ts', "export enum Field { Title = 'title' }\nexport const wanted: true = true\n")
    await directory.write('alias.ts', "export * from './field.js'\n")
    const source = configSource(
      `{ capture: 'replication', tables: { 'public.products': { namespace: 'products', fields: { [Field.Title]: wanted } } } }`,
    )
    await directory.write('safetykit.config.ts', `import { Field, wanted } from '@/alias'\n${source}`)
    loaded(await migrate())
  })

  it('ends the command even if it holds a timer and a server open', async () => {
    const source = "import { createServer } from 'node:http'\nsetInterval(() => {}, 1_000)\ncreateServer().listen(0)\n"
    await directory.write('safetykit.config.ts', source + configSource(valid))
    loaded(await migrate())
  })

  it('that is missing is asked for, with an example, and exits 2', async () => {
    const { code, stderr } = await migrate()
    expect(code).toBe(2)
    expect(stderr).toContain('error CONFIG_NOT_FOUND: There is no safetykit.config.ts')
    expect(stderr).toContain('export default defineSync(')
  })

  it('that --config names and that is not there is named, and exits 2', async () => {
    const { code, stderr } = await migrate('-c', 'nowhere.ts')
    expect(code).toBe(2)
    expect(stderr).toMatch(/error CONFIG_NOT_FOUND: There is no file .*nowhere\.ts/)
  })

  it.each([
    ['export const sync = 1', 'it has no default export'],
    ['export default { tables: {} }', 'a value of type object that defineSync did not make'],
    ['export default null', 'null that defineSync did not make'],
    ['export default () => 1', 'a value of type function that defineSync did not make'],
  ])('that says %j is told what it exports instead, and exits 2', async (source, message) => {
    await directory.write('safetykit.config.ts', source)
    const { code, stderr } = await migrate()
    expect(code).toBe(2)
    expect(stderr).toContain('error CONFIG_NOT_FOUND: safetykit.config.ts does not export a sync')
    expect(stderr).toContain(message)
  })

  it('with mistakes has all of them in one report, and exits 2', async () => {
    const source = configSource({
      capture: 'replicaton',
      tables: {
        'public.products': { namespace: 'pro ducts', fields: { title: { display_hint: { type: 'titel' } } } },
        'public.sellers': { namespace: 'sellers', fields: {} },
      },
    })
    await directory.write('safetykit.config.ts', source)
    const { code, stderr } = await migrate()
    expect(code).toBe(2)
    expect(stderr).toMatch(/^error CONFIG_INVALID: /)
    for (const word of ['capture', 'namespace', 'display_hint', 'public.sellers']) expect(stderr).toContain(word)
    expect(stderr).not.toContain('    at ')
  })

  it('that throws is named with what it threw, and exits 2', async () => {
    await directory.write('safetykit.config.ts', "throw new RangeError('no such tenant')")
    const { code, stderr } = await migrate()
    expect(code).toBe(2)
    expect(stderr).toContain(
      'error CONFIG_INVALID: safetykit.config.ts could not be loaded: RangeError: no such tenant',
    )
  })

  it('that throws a database URL does not give the password away', async () => {
    const source = 'throw new Error(`cannot connect to ' + '$' + '{process.env.DATABASE_URL}`)'
    await directory.write('safetykit.config.ts', source)
    const { stderr } = await migrate('--verbose')
    expect(stderr).toContain('cannot connect to postgresql://[hidden]@127.0.0.1:1/shop')
    expect(stderr).not.toContain(password)
  })

  it('that is no TypeScript or imports what is not there is named with the place, and exits 2', async () => {
    await directory.write('safetykit.config.ts', 'export default {{')
    const syntax = await migrate()
    expect(syntax.code).toBe(2)
    expect(syntax.stderr).toMatch(
      /error CONFIG_INVALID: safetykit\.config\.ts could not be loaded: .*safetykit\.config\.ts:1:\d+/s,
    )
    await directory.write('safetykit.config.ts', "import './src/db.js'")
    const missing = await migrate()
    expect(missing.code).toBe(2)
    expect(missing.stderr).toContain('src/db.js')
  })

  it('may be made by another copy of the package', async () => {
    const built = path.dirname(fileURLToPath(packageUrl))
    const copy = path.join(directory.dir, 'copy')
    await cp(built, path.join(copy, path.basename(built)), { recursive: true })
    await directory.write('copy/package.json', '{ "type": "module" }')
    await symlink(path.resolve(built, '../node_modules'), path.join(copy, 'node_modules'))
    const copyUrl = pathToFileURL(path.join(copy, path.basename(built), path.basename(packageUrl))).href

    await directory.write('safetykit.config.ts', configSource(valid).replace(packageUrl, copyUrl))
    loaded(await migrate())
    await directory.write(
      'safetykit.config.ts',
      configSource({ ...valid, capture: 'wal' }).replace(packageUrl, copyUrl),
    )
    const { code, stderr } = await migrate()
    expect(code).toBe(2)
    expect(stderr).toMatch(/^error CONFIG_INVALID: .*mistake/)
    expect(stderr).not.toContain('could not be loaded')
  })
})
