import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'

const run = promisify(execFile)
const root = fileURLToPath(new URL('../../', import.meta.url))
const name = 'prisma-extension-safetykit'

/** A folder with the packed package in it and what it depends on; Prisma and all that is for development is not there. */
let folder: string
let installed: string
let manifest: { dependencies: Record<string, string>; exports: Record<string, unknown>; bin: Record<string, string> }

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'safetykit-packed-'))
  installed = path.join(folder, 'node_modules', name)
  await mkdir(installed, { recursive: true })
  const { stdout } = await run('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', folder], {
    cwd: root,
  })
  const [packed] = JSON.parse(stdout) as [{ filename: string }]
  await run('tar', ['-xzf', path.join(folder, packed.filename), '-C', installed, '--strip-components=1'])
  manifest = JSON.parse(await readFile(path.join(installed, 'package.json'), 'utf8'))
  for (const dependency of Object.keys(manifest.dependencies)) {
    const link = path.join(folder, 'node_modules', dependency)
    await mkdir(path.dirname(link), { recursive: true })
    await symlink(path.join(root, 'node_modules', dependency), link)
  }
  await writeFile(path.join(folder, 'package.json'), '{ "type": "module" }')
})
afterAll(() => rm(folder, { recursive: true, force: true }))

async function script(source: string): Promise<string> {
  const { stdout } = await run(process.execPath, ['--input-type=module', '-e', source], { cwd: folder })
  return stdout.trim()
}

/** The compiler's words about a file in the folder; empty where it has none. */
async function typeErrors(source: string, options: readonly string[] = []): Promise<string> {
  await writeFile(path.join(folder, 'consumer.ts'), source)
  const tsc = createRequire(import.meta.url).resolve('typescript/bin/tsc')
  const strict = ['--strict', '--exactOptionalPropertyTypes', '--noEmit', '--target', 'ES2022', '--module', 'NodeNext']
  try {
    await run(process.execPath, [tsc, ...strict, ...options, 'consumer.ts'], { cwd: folder })
    return ''
  } catch (error) {
    return (error as { stdout: string }).stdout
  }
}

const consumer = `
  import { ConfigError, defineSync, type Sync } from '${name}'
  import { type Emulator, startEmulator } from '${name}/emulator'

  export const sync: Sync = defineSync({
    capture: 'replication',
    tables: {
      'public.products': {
        namespace: 'products',
        fields: { title: { display_hint: { type: 'title' } }, seller_id: { as: 'seller', namespace_ref: 'sellers' } },
        where: (row) => row.title !== null,
      },
    },
  })
  export const emulator: Promise<Emulator> = startEmulator({ port: 0 })
  export const paths = (error: unknown): string[] => (error instanceof ConfigError ? error.mistakes.map((m) => m.path) : [])
`

describe('the packed package, where Prisma is not installed', () => {
  it('has no Prisma beside it', async () => {
    await expect(script(`await import('@prisma/client')`)).rejects.toThrow('ERR_MODULE_NOT_FOUND')
  })

  it('gives every value that its doors name', async () => {
    const doors = Object.keys(manifest.exports)
    expect(doors).toEqual(['.', './emulator', './package.json'])
    const keys = (door: string) => script(`console.log(Object.keys(await import('${door}')).sort().join(' '))`)
    expect(await keys(name)).toBe('ConfigError SyncError defineSync isSync')
    expect(await keys(`${name}/emulator`)).toBe('connectEmulator startEmulator')
    expect(await script(`import m from '${name}/package.json' with { type: 'json' }; console.log(m.name)`)).toBe(name)
  })

  it('holds what was built, the README and the licence, and nothing of the tests or the sources', async () => {
    const { stdout } = await run('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], { cwd: root })
    const [{ files }] = JSON.parse(stdout) as [{ files: { path: string }[] }]
    const paths = files.map((file) => file.path)
    expect(paths).toEqual(expect.arrayContaining(['README.md', 'LICENSE', 'package.json', 'dist/index.js']))
    const wanted = /^(README\.md|LICENSE|package\.json|dist\/.+\.(js|d\.ts|js\.map)|prisma\/safetykit\.prisma)$/
    expect(paths.filter((file) => !wanted.test(file))).toEqual([])
  })

  it('defines a sync over tables', async () => {
    const tables = `{ 'public.products': { namespace: 'products', fields: { title: true } } }`
    const source = `import { defineSync } from '${name}'
      console.log(defineSync({ capture: 'replication', tables: ${tables} }).resolved.deliver)`
    expect(await script(source)).toBe('sidecar')
  })

  it('runs safetykit-sync', async () => {
    const [bin] = Object.values(manifest.bin)
    const command = path.join(installed, bin ?? '')
    const { stdout, stderr } = await run(command, ['--help'], { cwd: folder })
    expect(stderr).toBe('')
    for (const word of ['migrate', 'run', 'status', 'emulator', 'Exit codes']) expect(stdout).toContain(word)
  })

  it('checks types for a user who checks those of the packages too', async () => {
    expect(await typeErrors(consumer)).toBe('')
  })

  it('has types that refuse what is wrong', async () => {
    expect(await typeErrors(consumer.replace(`'title' }`, `'titel' }`))).toContain('consumer.ts')
  })
})
