// Generates the Prisma clients that the demo and the tests use (npm run generate). It needs no network and no
// database, and does nothing when the clients fit the schema already.
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const generated = join(root, 'prisma/generated')
const stamp = join(generated, 'stamp')
const prismaPackage = createRequire(import.meta.url).resolve('prisma/package.json')

// By content, not by time: a checkout and an install both set the times of files as they please.
const inputs = ['prisma/schema.prisma', 'prisma.config.ts'].map((file) => join(root, file))
const hash = createHash('sha256')
for (const file of [...inputs, prismaPackage]) hash.update(readFileSync(file))
const wanted = hash.digest('hex')

const outputs = ['client/client.ts', 'client-js/index.js'].map((file) => join(generated, file))
const fresh = outputs.every((file) => existsSync(file)) && existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted

if (!fresh) {
  rmSync(stamp, { force: true })
  const cli = join(dirname(prismaPackage), 'build/index.js')
  const run = spawnSync(process.execPath, [cli, 'generate', '--no-hints'], {
    cwd: root,
    encoding: 'utf8',
    env: {
      ...process.env,
      // `generate` does not run the schema engine, yet tries to download it unless it is told of a program to use.
      PRISMA_SCHEMA_ENGINE_BINARY: process.env.PRISMA_SCHEMA_ENGINE_BINARY ?? process.execPath,
      CHECKPOINT_DISABLE: '1',
    },
  })
  if (run.status !== 0) {
    process.stderr.write(`${run.stdout ?? ''}${run.stderr ?? ''}${run.error?.message ?? ''}\n`)
    process.exitCode = 1
  } else {
    writeFileSync(stamp, wanted)
  }
}
