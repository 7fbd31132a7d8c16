// What the extension costs the type checker of a project with 100 models: npx tsx bench/type-check.ts [runs]
// Projects that differ in how `db` is made; each uses every delegate of it. The compiler's own figures, the best of the runs.
import { spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const models = 100
const runs = Number(process.argv[2] ?? 5)
const root = fileURLToPath(new URL('..', import.meta.url))
const require = createRequire(import.meta.url)
const dir = mkdtempSync(join(tmpdir(), 'type-check-'))

const config = (mapped: number): string => `import { defineSync } from 'prisma-extension-safetykit'
const sync = defineSync(prisma, { models: {
${each((n) => (n >= mapped ? '' : `  Model${n}: { namespace: 'model-${n}', fields: { title: true, price: true, kind: true }, where: (row) => row.title !== '' },`))}
} })`
const questions = each(
  (n) => `export const status${n} = () => db.$safetykit.status('Model${n}', { id: 'x' })
export const resend${n} = () => db.$safetykit.resend('Model${n}', { title: 'x', kind: 'ONE' })`,
)
const variants = {
  plain: 'export const db = prisma',
  'an empty extension': 'export const db = prisma.$extends({})',
  'configuration only': `${config(100)}\nexport const db = prisma.$extends({})\nexport default sync`,
  'ten models mapped': `${config(10)}\nexport const db = prisma.$extends(sync.extension())`,
  'this extension': `${config(100)}\nexport const db = prisma.$extends(sync.extension())`,
  'asked by every model': `${config(100)}\nexport const db = prisma.$extends(sync.extension())\n${questions}`,
}

try {
  prepare()
  const figures: Record<string, Figures[]> = {}
  for (let run = 0; run < runs; run += 1) {
    for (const [name, source] of Object.entries(variants)) {
      // biome-ignore lint/suspicious/noAssignInExpressions: one list a variant
      ;(figures[name] ??= []).push(check(source))
    }
  }
  const plain = best(figures.plain ?? [])
  console.log(
    `${models} models, ${runs} runs, TypeScript ${require('typescript').version}; in brackets the ratio to plain`,
  )
  for (const [name, all] of Object.entries(figures)) {
    const one = best(all)
    const ratio = (key: keyof Figures): string => `${one[key]} (${(one[key] / plain[key]).toFixed(2)})`
    console.log(
      `${name.padEnd(20)} check ${ratio('checkMs')} ms, total ${ratio('totalMs')} ms, ` +
        `instantiations ${ratio('instantiations')}, types ${ratio('types')}, memory ${ratio('memoryMb')} MB`,
    )
  }
} finally {
  rmSync(dir, { recursive: true })
}

interface Figures {
  readonly checkMs: number
  readonly totalMs: number
  readonly instantiations: number
  readonly types: number
  readonly memoryMb: number
}

function each(line: (n: number) => string): string {
  return Array.from({ length: models }, (_, n) => line(n)).join('\n')
}

function prepare(): void {
  writeFileSync(join(dir, 'schema.prisma'), schema())
  writeFileSync(
    join(dir, 'prisma.config.ts'),
    `export default { schema: 'schema.prisma', datasource: { url: 'postgresql://localhost/none' } }`,
  )
  run(
    process.execPath,
    [join(dirname(require.resolve('prisma/package.json')), 'build/index.js'), 'generate', '--no-hints'],
    {
      PRISMA_SCHEMA_ENGINE_BINARY: process.env.PRISMA_SCHEMA_ENGINE_BINARY ?? process.execPath,
      CHECKPOINT_DISABLE: '1',
    },
  )
  const library = join(dir, 'node_modules/prisma-extension-safetykit')
  mkdirSync(library, { recursive: true })
  cpSync(join(root, 'package.json'), join(library, 'package.json'))
  run(process.execPath, [
    ...[tsc(), '-p', join(root, 'tsconfig.build.json'), '--emitDeclarationOnly', '--noCheck', '--sourceMap', 'false'],
    ...['--inlineSources', 'false', '--outDir', join(library, 'dist')],
  ])
  for (const name of ['@prisma', '@types', 'zod', 'pg']) {
    symlinkSync(join(root, 'node_modules', name), join(dir, 'node_modules', name))
  }
  writeFileSync(join(dir, 'use.ts'), `import { db } from './db.js'\n${each(useOf)}`)
  const compilerOptions = {
    ...{ target: 'ES2022', module: 'NodeNext', moduleResolution: 'NodeNext', strict: true, skipLibCheck: true },
    ...{ noEmit: true, types: ['node'] },
  }
  writeFileSync(join(dir, 'package.json'), '{ "type": "module" }')
  writeFileSync(join(dir, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: ['use.ts'] }))
}

// Groups of ten: each of a group belongs to its first, and the firsts belong to the very first, as to a tenant.
function parentOf(n: number): number {
  return n % 10 === 0 ? 0 : n - (n % 10)
}

function schema(): string {
  const numbers = Array.from({ length: models }, (_, n) => n)
  const children = (n: number): string =>
    numbers
      .filter((child) => child !== 0 && parentOf(child) === n)
      .map((child) => `  children${child} Model${child}[] @relation("to${child}")`)
      .join('\n')
  return `generator client {
  provider            = "prisma-client"
  output              = "./generated"
  importFileExtension = "js"
}
datasource db {
  provider = "postgresql"
}
enum Kind {
  ONE
  TWO
}
${each(
  (n) => `model Model${n} {
  id        String   @id @default(uuid())
  title     String
  body      String?
  price     Decimal
  count     Int      @default(0)
  large     BigInt   @default(0)
  kind      Kind     @default(ONE)
  tags      String[]
  data      Json     @default("{}")
  createdAt DateTime @default(now())
  parentId  String
${n === 0 ? '' : `  parent    Model${parentOf(n)} @relation("to${n}", fields: [parentId], references: [id])`}
${children(n)}
}`,
)}`
}

function useOf(n: number): string {
  const relation = n === 0 ? 'children1' : 'parent'
  const create = n === 0 ? "parentId: 'x'" : "parentId: 'x', kind: 'TWO'"
  return `export async function use${n}() {
  const rows = await db.model${n}.findMany({ where: { title: { contains: 'x' } }, include: { ${relation}: true } })
  const row = await db.model${n}.create({ data: { title: rows[0]?.body ?? '', price: 1, ${create} }, select: { id: true, kind: true } })
  await db.model${n}.update({ where: { id: row.id }, data: { count: { increment: 1 } } })
  return db.$transaction(async (tx) => tx.model${n}.count({ where: { kind: row.kind } }))
}`
}

function check(source: string): Figures {
  const client = `import { PrismaClient } from './generated/client.js'\ndeclare const prisma: PrismaClient\n`
  writeFileSync(join(dir, 'db.ts'), client + source)
  const text = run(process.execPath, [tsc(), '-p', dir, '--extendedDiagnostics'])
  const figure = (name: string): number => Number(new RegExp(`^${name}:\\s+([\\d.]+)`, 'm').exec(text)?.[1])
  return {
    checkMs: Math.round(figure('Check time') * 1_000),
    totalMs: Math.round(figure('Total time') * 1_000),
    instantiations: figure('Instantiations'),
    types: figure('Types'),
    memoryMb: Math.round(figure('Memory used') / 1_024),
  }
}

function tsc(): string {
  return require.resolve('typescript/bin/tsc')
}

function run(command: string, args: readonly string[], env: Record<string, string> = {}): string {
  const { status, stdout, stderr } = spawnSync(command, args, {
    cwd: dir,
    encoding: 'utf8',
    env: { ...process.env, ...env },
  })
  if (status !== 0) throw new Error(`${args.join(' ')} failed:\n${stdout}${stderr}`)
  return stdout
}

/** What else the machine does only adds to a run. */
function best(all: readonly Figures[]): Figures {
  const of = (key: keyof Figures): number => Math.min(...all.map((one) => one[key]))
  return {
    ...{ checkMs: of('checkMs'), totalMs: of('totalMs'), instantiations: of('instantiations') },
    ...{ types: of('types'), memoryMb: of('memoryMb') },
  }
}
